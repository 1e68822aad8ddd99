#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// Commands that name users and are not asked about in words, with why.
const NOT_ASKED: &[(&str, &str)] = &[
    ("AnswerRequest", "it names a friend request by its id, which is looked up and not in the streams of the past"),
    ("Cancel", "it names an erasure by its id, which is looked up"),
    ("ChangeRequest", "it names a request about data by its id, which is looked up"),
    ("RevokeOf", "it names a token by its id, which is looked up"),
    ("Request", "a bulk act is refused user by user: ask about its command"),
    ("Update", "a user changes its name and its profile at once: `rename` and `set-profile` ask about each"),
];

/// The source of the domain, file by file.
fn domain(place: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(place).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            domain(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// A command of each verb, as it is written for debugging: its type first.
fn every_command() -> Vec<String> {
    let written = |(verb, parts): (&'static str, &'static [Part])| {
        let words = parts.iter().enumerate().map(|(place, part)| match (part, place) {
            (Part::User, 0) => "ada",
            (Part::User, _) => "bob",
            (Part::Field, _) => "email",
            (Part::Group, _) => "7",
        });
        let words: Vec<_> = [verb].into_iter().chain(words).collect();
        format!("{:?}", command(&words).unwrap().command)
    };
    verbs().map(written).collect()
}

#[test]
fn every_command_about_users_and_every_change_of_one_can_be_asked_about_or_says_why_not() {
    let mut sources = vec![];
    domain(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain"), &mut sources);
    let mut there = BTreeSet::new();
    for source in &sources {
        for line in source.lines().filter_map(|line| line.strip_prefix("impl Command for ")) {
            there.insert(line.split(['<', ' ']).next().unwrap().to_owned());
        }
    }
    // `Revoke` is the name of a type with parameters.
    assert!(there.remove("Revoke") && there.insert("RevokeOf".into()));
    assert!(there.remove("ChangeUsers"), "its changes are asked about one by one");
    let user = sources.iter().find(|source| source.contains("\npub enum Change {\n    /// Replace what")).unwrap();
    let changes = user.split_once("\npub enum Change {\n").unwrap().1.split_once("\n}\n").unwrap().0;
    let variants = changes
        .lines()
        .filter_map(|line| line.strip_prefix("    ").filter(|rest| rest.starts_with(char::is_uppercase)));
    let name = |text: &str| text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned();
    there.extend(variants.map(name));
    assert!(there.contains("SetVisibility") && there.contains("LabelGroup"), "{there:?}");

    let asked = every_command().into_iter().map(|written| match written.split_once("change: ") {
        Some((of, change)) if of.starts_with("ChangeUsers") => name(change),
        _ => name(&written),
    });
    let asked: BTreeSet<_> = asked.collect();
    let not_asked: BTreeSet<_> = NOT_ASKED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(asked.is_disjoint(&not_asked), "{asked:?}");
    assert_eq!(&asked | &not_asked, there, "add it to COMMANDS, or here with why it is not asked about");
}

#[test]
fn the_verbs_are_told_once_each_and_with_what_follows_them() {
    let names: BTreeSet<_> = verbs().map(|(verb, _)| verb).collect();
    assert_eq!(names.len(), COMMANDS.len());
    assert!(ASKED.contains("; group-friend, ungroup-friend USER OTHER GROUP"), "{}", *ASKED);
    assert_eq!(ASKED.matches("USER").count(), 5, "what the same follows stands together: {}", *ASKED);
}

#[test]
fn words_that_are_no_command_are_refused_and_the_user_they_name_is_not_repeated() {
    for words in [&[][..], &["befriend", "ada"], &["make-coffee", "ada"], &["label-group", "ada", "bob", "1"]] {
        assert_eq!(command(words).unwrap_err(), NotAsked::Words, "{words:?}");
    }
    for number in ["0", "101", "one", "-1"] {
        let refused = command(&["remove-group", "ada", number]).unwrap_err();
        assert!(matches!(&refused, NotAsked::Group(_)) && !refused.to_string().contains("ada"), "{refused}");
    }
    let refused = command(&["rename", "a@da"]).unwrap_err();
    assert!(matches!(&refused, NotAsked::User(_)) && !refused.to_string().contains("a@da"), "{refused}");
}
