//! What the bench keeps in files.

use serde_json::Value;

use super::{path, rollcall, text};

#[test]
fn curves_over_connections_and_users_are_written_and_what_was_acknowledged_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (file, scratch) = (dir.path().join("curves.json"), dir.path().join("bench"));
    let output = rollcall(&[
        "bench",
        "--curves",
        path(&file),
        "--over-connections",
        "1,3",
        "--over-users",
        "50",
        "--connections",
        "4",
        "--seconds",
        "1",
        "--dir",
        path(&scratch),
    ])
    .output()
    .unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert_eq!(said.matches(" users are there after the service was killed").count(), 2, "{said}");
    assert!(!scratch.exists());

    let curves: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let points = |of: &Value| -> Vec<Value> {
        of.as_array().unwrap().iter().flat_map(|at| [at["register"].clone(), at["query"].clone()]).collect()
    };
    let numbers: Vec<_> = curves["connections"].as_array().unwrap().iter().map(|at| &at["connections"]).collect();
    assert_eq!(numbers, [1, 3]);
    assert!(curves["users"][0]["users"].as_u64().unwrap() >= 50, "{curves}");
    let all = [points(&curves["connections"]), points(&curves["users"])].concat();
    assert_eq!(all.len(), 6);
    for point in all {
        assert_eq!(point["failed"], 0, "{curves}");
        for figure in ["per_second", "p50_ms", "p99_ms", "p999_ms", "service_cpu_micros"] {
            assert!(point[figure].as_f64().unwrap() > 0.0, "{figure} in {curves}");
        }
    }
}

#[test]
fn curves_that_could_not_be_written_are_not_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (file, scratch) = (dir.path().join("nowhere/curves.json"), dir.path().join("bench"));
    let output = rollcall(&["bench", "--curves", path(&file), "--dir", path(&scratch)]).output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("does not exist"), "{said}");
    assert!(!scratch.exists());
}
