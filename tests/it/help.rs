//! Promise: the command line changes on purpose only. The help of every verb is compared with
//! `tests/golden/help.txt`; `UPDATE_GOLDEN=1` writes that file anew.

use std::path::Path;

use crate::support::binary::Mirror;

#[test]
fn the_help_tree_is_the_one_we_meant() {
    let mut tree = String::new();
    print_tree(&Mirror::bare(), &[], &mut tree);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &tree).expect("the source tree can be written");
    }
    let expected = std::fs::read_to_string(&golden).expect("UPDATE_GOLDEN=1 writes it");
    assert!(
        tree == expected,
        "UPDATE_GOLDEN=1 writes {} anew; now it is:\n{tree}",
        golden.display()
    );
}

/// The help of a verb, then of the verbs below it in their order.
fn print_tree(folder: &Mirror, verb: &[&str], tree: &mut String) {
    let arguments = [verb, &["--help"]].concat();
    let help = folder.run(&arguments).expect(0);
    assert_eq!(help.stderr, "");
    let title = format!("$ standin {}\n", arguments.join(" "));
    tree.push_str(&(title + &help.stdout + "\n"));
    let commands = help.stdout.split("Commands:\n").nth(1).unwrap_or_default();
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        // Its name stands two spaces in; what is further in goes on about the one before.
        let name = line
            .strip_prefix("  ")
            .filter(|rest| !rest.starts_with(' '));
        let name = name
            .and_then(|rest| rest.split(' ').next())
            .unwrap_or("help");
        if name != "help" {
            print_tree(folder, &[verb, &[name]].concat(), tree);
        }
    }
}
