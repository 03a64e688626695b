//! Links the program to a fixed address where that is known to work.
//!
//! A program that may lie anywhere has its tables of addresses written anew in every process: a quarter of a
//! megabyte that no two supervisors share, and a fifth of the time that it takes to start.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
