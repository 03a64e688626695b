use crate::policy::{check, found};
use crate::room::Room;

#[test]
fn the_documented_part_is_counted_by_language() {
    let room = Room::new();
    room.write("a.py", "'''Module.'''\ndef f(): pass\n");
    room.write("b.rs", "/// Doc.\npub fn f() {}\npub fn g() {}\nfn h() {}\n");
    room.write("c.go", "package c\n// F does.\nfunc F() {}\n");
    room.write("d.ts", "export function f() {}\n");
    room.write("bad.py", "))) ((( ]]] [[[ $$$ ???\n");
    room.commit("code");
    let ran = check(&room, "[policies.documentation]\nmin = 50\n", &[]).succeeds();
    let counts = ran.json()["policies"][0]["counts"].clone();
    assert_eq!((&counts["items"], &counts["documented"]), (&6.into(), &3.into()), "{counts}");
    assert_eq!((&counts["python-items"], &counts["typescript-documented"]), (&2.into(), &0.into()), "{counts}");
    assert_eq!(found(&ran), ["bad.py documentation warning"]);
    let ran = check(&room, "[policies.documentation]\nmin = 51\n", &[]).exits(1);
    let wanted = [
        "- documentation error",
        "a.py:2 documentation note",
        "b.rs:3 documentation note",
        "bad.py documentation warning",
        "d.ts:1 documentation note",
    ];
    assert_eq!(found(&ran), wanted);
    let ran =
        check(&room, "[policies.documentation]\nmin = 51\nlanguages = [\"go\"]\nexclude = [\"x\"]\n", &[]).succeeds();
    assert_eq!(ran.json()["policies"][0]["counts"]["items"], 1);
}

#[test]
fn new_items_want_documentation_and_old_ones_may_stay() {
    let room = Room::new();
    room.write("a.rs", "pub fn old() {}\n/// Doc.\npub fn good() {}\n");
    room.commit("one");
    room.write("a.rs", "pub fn old() { todo() }\n/// Doc.\npub fn good() {}\npub fn new() {}\n");
    room.write("moved/b.rs", "/// Doc.\npub fn b() {}\n");
    room.commit("two");
    let toml = "[policies.documentation]\nnew-items = true\n";
    let ran = check(&room, toml, &[]).exits(1);
    assert_eq!(found(&ran), ["a.rs:4 documentation error"]);
    assert!(ran.stdout.contains("new function 'new' is not documented"));
    check(&room, "[policies.documentation]\nmax-drop = 0\n", &[]).succeeds();
    room.write("moved/b.rs", "pub fn b() {}\n");
    room.commit("three");
    let ran = check(&room, "[policies.documentation]\nmax-drop = 24\n", &[]).exits(1);
    assert!(ran.stdout.contains("falls from 50.0 % to 25.0 %"), "{}", ran.stdout);
    check(&room, "[policies.documentation]\nmax-drop = 25\n", &[]).succeeds();
    let ran = check(&room, toml, &["HEAD^{tree}"]).succeeds();
    assert_eq!(ran.json()["policies"][0]["status"], "skipped");
}

#[test]
fn tests_do_not_go_away_unseen() {
    let room = Room::new();
    room.write("test_a.py", "def test_one(): pass\ndef test_two(): pass\n");
    room.write("b.test.ts", "it('three', () => {});\nit('four', () => {});\n");
    room.commit("one");
    let toml = "[policies.tests]\nseverity = \"error\"\n";
    room.write("b.test.ts", "it.skip('three', () => {});\nit('four', () => {});\n");
    room.commit("skip");
    let ran = check(&room, toml, &[]).exits(1);
    assert_eq!(found(&ran), ["b.test.ts:1 tests error"]);
    check(&room, &format!("{toml}max-skipped = 1\n"), &[]).succeeds();
    room.write("test_a.py", "def test_one(): pass\n");
    room.commit("fewer");
    let ran = check(&room, toml, &[]).exits(1);
    assert_eq!(found(&ran), ["- tests error", "test_a.py tests note"]);
    check(&room, &format!("{toml}max-fewer = 1\n"), &[]).succeeds();
    room.git(&["mv", "test_a.py", "test_moved.py"]);
    room.commit("moved");
    check(&room, toml, &[]).succeeds();
    room.git(&["rm", "-q", "test_moved.py"]);
    room.write("test_new.py", "def test_other(): pass\n");
    room.commit("gone, and another");
    let ran = check(&room, toml, &[]).exits(1);
    assert_eq!(found(&ran), ["test_moved.py tests error"]);
}
