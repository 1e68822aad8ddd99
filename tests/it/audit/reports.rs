//! The report of an erasure: made once, believed as it was issued, and in no other form.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rollcall::audit::report::Report;
use rollcall::audit::report::dsse::{self, Envelope};
use rollcall::audit::report::verify::{Verdict, verify};
use rollcall::audit::tree::note::Verifier;
use rollcall::audit::tree::verifiers;
use rollcall::privacy::Vault;
use rollcall::wiring::DataDir;
use serde_json::{Value, json};

use super::{APP, Service, succeeds, text, with_history};

/// The report of a user's erasure, and who can sign like its issuer.
struct Given {
    service: Service,
    app: String,
    erasure: String,
    envelope: String,
    keys: String,
}

fn given() -> Given {
    let service = with_history(12);
    let app = APP.headers().iter().find(|(name, _)| name == "App-Key").unwrap().1.clone();
    let said = succeeds(&["erasure", "request", &app, "user-3"], service.data());
    let erasure = said.split('\t').next().unwrap().to_owned();
    assert!(said.contains("\tfinalised\t"), "{said}");
    let envelope = succeeds(&["erasure", "report", &app, &erasure], service.data()).trim_end().to_owned();
    let keys = succeeds(&["audit", "keys"], service.data());
    Given { service, app, erasure, envelope, keys }
}

impl Given {
    fn trusted(&self) -> Vec<Verifier> {
        self.keys.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect()
    }
}

fn payload(envelope: &str) -> Value {
    let envelope: Envelope = serde_json::from_str(envelope).unwrap();
    serde_json::from_slice(&envelope.payload().unwrap()).unwrap()
}

#[test]
fn a_finished_erasure_has_one_report_that_is_final_and_small_and_follows_its_schema() {
    let given = given();
    let verdict = verify(given.envelope.as_bytes(), &given.trusted());
    let Verdict::Final(report) = verdict else { panic!("{verdict:?}") };
    assert_eq!((report.number, report.erasure.id.0.to_string()), (1, given.erasure.clone()));
    assert_eq!(report.steps.len(), 6);
    assert!(report.verification.as_ref().is_some_and(|v| v.tried > 0 && v.opened == 0 && v.control_opened));
    assert!(report.log.checkpoint_before.is_some(), "a checkpoint was signed when the service stopped");
    assert!(given.envelope.len() <= 32 * 1024, "{} bytes", given.envelope.len());
    let schema: Value = serde_json::from_str(include_str!("../../../schemas/api/erasure-report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let says = payload(&given.envelope);
    let errors: Vec<_> = validator.iter_errors(&says).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    let again = succeeds(&["erasure", "report", &given.app, &given.erasure], given.service.data());
    assert_eq!(again.trim_end(), given.envelope, "the report is made once");
    for form in ["letter", "certificate"] {
        let page = succeeds(&["erasure", "report", &given.app, &given.erasure, "--form", form], given.service.data());
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains(&given.erasure), "{page}");
    }
}

#[test]
fn the_verifier_tells_by_its_exit_code() {
    let given = given();
    let dir = tempfile::tempdir().unwrap();
    let (report, keys, bent) = (dir.path().join("report"), dir.path().join("keys"), dir.path().join("bent"));
    std::fs::write(&report, &given.envelope).unwrap();
    std::fs::write(&keys, &given.keys).unwrap();
    let at = given.envelope.len() / 2;
    let other = if given.envelope.as_bytes()[at] == b'A' { "B" } else { "A" };
    std::fs::write(&bent, [&given.envelope[..at], other, &given.envelope[at + 1..]].concat()).unwrap();
    let another = Verifier { public: [7; 32], ..given.trusted().remove(0) }.to_string();
    let keys = keys.to_str().unwrap();
    for (report, key, code) in [
        (&report, keys, 0),
        (&report, given.keys.trim_end(), 0),
        (&bent, keys, 1),
        (&report, another.as_str(), 2),
        (&dir.path().join("nowhere"), keys, 2),
        (&report, "nowhere", 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command.args(["erasure", "verify"]).arg(report).args(["--key", key]);
        // No data directory, no network: nothing but the two files.
        let output = command.env_clear().current_dir(dir.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{report:?} {key}: {}", text(&output.stderr));
    }
}

#[test]
fn an_erasure_that_waits_has_a_report_that_is_valid_and_not_final() {
    let given = given();
    succeeds(&["apps", "set", &given.app, "--erasure-grace-seconds", "3600"], given.service.data());
    let said = succeeds(&["erasure", "request", &given.app, "user-4"], given.service.data());
    let erasure = said.split('\t').next().unwrap();
    assert!(said.contains("\trequested\t"), "{said}");
    let report = succeeds(&["erasure", "report", &given.app, erasure], given.service.data());
    let verdict = verify(report.as_bytes(), &given.trusted());
    assert_eq!(verdict.exit_code(), 3, "{verdict:?}");
    let said = succeeds(&["erasure", "cancel", &given.app, erasure], given.service.data());
    assert!(said.contains("\tcancelled\t"), "{said}");
}

/// What the log does not hold: only the signature vouches for it.
const ATTESTED: [&str; 9] = [
    "/number",
    "/supersedes",
    "/issued_at",
    "/erased/",
    "/retained",
    "/recipients",
    "/method/algorithm",
    "/method/finality",
    "/not_covered",
];

fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            let path = format!("{at}/{name}");
            found.push(path.clone());
            paths(member, &path, found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
            let path = format!("{at}/{index}");
            found.push(path.clone());
            paths(item, &path, found);
        }),
        _ => {}
    }
}

/// Other values in the place of one.
fn bent(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![json!("x"), json!(1)],
        Value::Bool(value) => vec![json!(!value), Value::Null],
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![json!(number + 1), json!(number.wrapping_sub(1)), Value::Null]
        }
        Value::String(text) => {
            let swapped: String = text.chars().rev().collect();
            let mut cut = text.clone();
            cut.pop();
            vec![json!(swapped), json!(cut), json!(format!("{text} ")), Value::Null]
        }
        Value::Array(items) => {
            let mut all = vec![Value::Null];
            if let Some((_, rest)) = items.split_first() {
                all.push(json!(rest));
                all.push(json!([items.as_slice(), items.as_slice()].concat()));
                all.push(Value::Array(items.iter().rev().cloned().collect()));
            }
            all
        }
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("more".into(), json!(1));
            let mut fewer = members.clone();
            let name = fewer.keys().next().unwrap().clone();
            fewer.remove(&name);
            vec![Value::Object(more), Value::Object(fewer), Value::Null]
        }
    }
}

/// The bytes of a report, in the order of its members where it has the form of one.
fn written(says: Value) -> Vec<u8> {
    match serde_json::from_value::<Report>(says.clone()) {
        Ok(report) => serde_json::to_vec(&report).unwrap(),
        Err(_) => serde_json::to_vec(&says).unwrap(),
    }
}

/// Reports that nobody issued, each with what was done to it.
fn forgeries(given: &Given, vault: &dyn Vault) -> Vec<(String, Vec<u8>)> {
    let envelope = given.envelope.as_bytes();
    let mut forged = Vec::new();
    // Bytes of the envelope, spread over all of it.
    for number in 0..400 {
        let at = number * envelope.len() / 400;
        for (what, byte) in [("a bit", envelope[at] ^ 1), ("a byte", b'A'), ("a blank", b' ')] {
            if byte != envelope[at] {
                let mut bytes = envelope.to_vec();
                bytes[at] = byte;
                forged.push((format!("{what} at {at}"), bytes));
            }
        }
    }
    for number in 0..50 {
        let at = number * envelope.len() / 50;
        forged.push((format!("cut at {at}"), envelope[..at].to_vec()));
        forged.push((format!("a space at {at}"), [&envelope[..at], b" ", &envelope[at..]].concat()));
    }
    forged.push(("twice".into(), [envelope, envelope].concat()));
    let whole: Value = serde_json::from_slice(envelope).unwrap();
    for (name, value) in [("payloadType", json!("application/json")), ("signatures", json!([]))] {
        let mut other = whole.clone();
        other[name] = value;
        forged.push((format!("another {name}"), serde_json::to_vec(&other).unwrap()));
    }
    // Every value of the report: under the old signature, and signed anew by an issuer who lies.
    let says = payload(&given.envelope);
    let truth = serde_json::to_vec(&dsse::sign(vault, &written(says.clone()))).unwrap();
    assert!(
        matches!(verify(&truth, &given.trusted()), Verdict::Final(_)),
        "what is signed anew and no lie is believed"
    );
    let mut all = Vec::new();
    paths(&says, "", &mut all);
    for path in all {
        for (number, value) in bent(says.pointer(&path).unwrap()).into_iter().enumerate() {
            let mut lie = says.clone();
            *lie.pointer_mut(&path).unwrap() = value;
            let lie = written(lie);
            // A list that is the same backwards, a time in another form: the same report.
            if lie == written(says.clone()) {
                continue;
            }
            if number == 0 {
                let mut unsigned = whole.clone();
                unsigned["payload"] = json!(BASE64_STANDARD.encode(&lie));
                forged.push((format!("{path} unsigned"), serde_json::to_vec(&unsigned).unwrap()));
            }
            if !ATTESTED.iter().any(|attested| path.starts_with(attested)) {
                let signed = serde_json::to_vec(&dsse::sign(vault, &lie)).unwrap();
                forged.push((format!("{path} signed, {number}"), signed));
            }
        }
    }
    forged
}

/// What the verifier in Python makes of reports, one in each line.
pub(super) fn in_python(keys: &str, reports: &[&[u8]]) -> Vec<u8> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/audit/verify_report.py");
    let mut python = Command::new("python3");
    python.args([script, "--each-line", "--key", keys]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<_> = reports.iter().map(|report| BASE64_STANDARD.encode(report)).collect();
    let writer = std::thread::spawn(move || lines.iter().for_each(|line| writeln!(input, "{line}").unwrap()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    text(&output.stdout).lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn every_forged_report_is_rejected_by_two_verifiers_that_share_no_code() {
    let given = given();
    let trusted = given.trusted();
    let forged = {
        let data = DataDir::open(&crate::support::place(given.service.data())).unwrap();
        assert_eq!(verifiers(data.vault.as_ref()), trusted);
        forgeries(&given, data.vault.as_ref())
    };
    assert!(forged.len() >= 1_000, "{}", forged.len());
    let mut codes = Vec::with_capacity(forged.len());
    for (what, report) in &forged {
        let verdict = verify(report, &trusted);
        assert!(matches!(verdict, Verdict::Tampered(_) | Verdict::Undecidable(_)), "{what}: {verdict:?}");
        codes.push(verdict.exit_code());
    }
    let reports: Vec<_> = forged.iter().map(|(_, report)| report.as_slice()).collect();
    let python = in_python(given.keys.trim_end(), &[&[given.envelope.as_bytes()], reports.as_slice()].concat());
    assert_eq!(python[0], 0, "what was issued is final");
    for (((what, _), code), python) in forged.iter().zip(codes).zip(&python[1..]) {
        assert_eq!(*python, code, "{what}");
    }
    assert_eq!(python.len(), forged.len() + 1);
}

#[test]
fn keys_overlap_and_what_a_retired_one_signed_is_still_believed() {
    let given = given();
    let data = given.service.data();
    let old = given.trusted();
    let refused = crate::support::rollcall(&["keys", "retire-signer", "1"], data);
    assert!(!refused.status.success() && text(&refused.stderr).contains("the last one"));
    assert!(succeeds(&["keys", "add-signer"], data).starts_with("signing key 2 is added: rollcall/"));
    let erase = |user: &str| {
        let said = succeeds(&["erasure", "request", &given.app, user], data);
        let erasure = said.split('\t').next().unwrap().to_owned();
        succeeds(&["erasure", "report", &given.app, &erasure], data)
    };
    let trusted = || -> Vec<Verifier> {
        let keys = succeeds(&["audit", "keys"], data);
        keys.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect()
    };
    let overlapping = erase("user-5");
    let (both, new) = (trusted(), trusted().split_off(1));
    for trusted in [&old, &new, &both] {
        assert_eq!(verify(overlapping.as_bytes(), trusted).exit_code(), 0, "either key is enough");
    }
    succeeds(&["keys", "retire-signer", "1"], data);
    assert!(succeeds(&["keys", "show"], data).contains("(retired)"));
    let later = erase("user-6");
    assert_eq!(verify(later.as_bytes(), &new).exit_code(), 0);
    assert_eq!(verify(later.as_bytes(), &old).exit_code(), 2, "the old key says nothing of it");
    assert_eq!(verify(given.envelope.as_bytes(), &trusted()).exit_code(), 0, "what it signed is still believed");
    succeeds(&["audit", "verify"], data);
}
