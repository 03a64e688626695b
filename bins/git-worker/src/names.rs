//! Lists of names with `*`, as settings hold them for environment variables.

use shared::process::LOCAL_ENVIRONMENT;

/// Says whether a name fits a list: the last fitting pattern decides, and one that begins with `!` takes out again.
pub(crate) fn fits(list: &[String], name: &str) -> bool {
    list.iter().fold(false, |fits, pattern| match pattern.strip_prefix('!') {
        Some(out) => fits && !matches(out, name),
        None => fits || matches(pattern, name),
    })
}

/// Lists the names in this process's environment that fit a list.
pub(crate) fn of_environment(list: &[String]) -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    // git's own of this repository, and those of the job that this is called in, are nobody else's.
    let local = |name: &str| LOCAL_ENVIRONMENT.contains(&name) || name.starts_with("GIT_WORKER_");
    let mut names: Vec<String> = names.filter(|name| fits(list, name) && !local(name)).collect();
    names.sort();
    names
}

/// Says whether a name fits a pattern in which `*` stands for anything; case counts for nothing.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_uppercase(), name.to_ascii_uppercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name) in
            [("*TOKEN*", "GH_TOKEN"), ("*_KEY", "a_key"), ("LC_*", "LC_ALL"), ("PATH", "PATH"), ("*", "x")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*_KEY", "KEYS"), ("PATH", "PATHS"), ("A*B*A", "ABC"), ("A*A", "A")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_taken_out_stays_out_until_it_is_named_again() {
        let list = ["CARGO_*", "!CARGO_*TOKEN", "CARGO_X_TOKEN"].map(str::to_owned);
        assert!(fits(&list, "CARGO_HOME") && !fits(&list, "CARGO_REGISTRY_TOKEN") && fits(&list, "CARGO_X_TOKEN"));
    }
}
