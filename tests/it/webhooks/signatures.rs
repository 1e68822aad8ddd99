//! What is signed verifies with what its receiver was given, and opens nothing of this service.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::support::service::signature;

fn signatures<'r>(received: &'r Received, scheme: &str) -> Vec<&'r str> {
    let all = received.header("webhook-signature").split(' ');
    all.filter_map(|one| one.split_once(',')).filter(|(of, _)| *of == scheme).map(|(_, text)| text).collect()
}

fn signed(received: &Received) -> Vec<u8> {
    let head = format!("{}.{}.", received.header("webhook-id"), received.header("webhook-timestamp"));
    [head.as_bytes(), &received.body].concat()
}

/// Whether a delivery is signed with this secret.
fn is_of(received: &Received, secret: &str) -> bool {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mac = BASE64_STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed(received)).as_ref());
    signatures(received, "v1").contains(&mac.as_str())
}

/// Whether a delivery is signed with the private half of this key.
fn is_of_public(received: &Received, public: &str) -> bool {
    let key = BASE64_STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
    let key = UnparsedPublicKey::new(&ED25519, key);
    let signatures = signatures(received, "v1a");
    signatures.iter().any(|text| key.verify(&signed(received), &BASE64_STANDARD.decode(text).unwrap()).is_ok())
}

#[test]
fn each_delivery_is_signed_with_both_keys_and_during_a_rotation_with_the_ones_before_as_well() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let (webhook, first) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    let rotate = |body: &Value| started.call("POST", &format!("webhooks/{webhook}/secret/rotate"), body);
    started.register(&["ada"]);
    started.service.eventually("it is told", |_| receiver.acknowledged().len() == 1);
    let second = rotate(&json!({"overlap_seconds": 3600}));
    assert_eq!(second.status, 200, "{}", second.text);
    let second = second.json();
    assert!(second["previous_key_until"].is_string() && second["secret"] != first["secret"]);
    started.register(&["bob"]);
    started.service.eventually("it is told", |_| receiver.acknowledged().len() == 2);
    let third = rotate(&json!({"overlap_seconds": 0})).json();
    started.register(&["eve"]);
    started.service.eventually("it is told", |_| receiver.acknowledged().len() == 3);

    let secrets = [&first, &second, &third].map(|json| json["secret"].as_str().unwrap());
    let public = [&first, &second, &third].map(|json| json["public_key"].as_str().unwrap());
    let expected = [[true, false, false], [true, true, false], [false, false, true]];
    for (received, expected) in receiver.acknowledged().iter().zip(expected) {
        assert_eq!(secrets.map(|secret| is_of(received, secret)), expected);
        assert_eq!(public.map(|public| is_of_public(received, public)), expected);
    }
    // Nothing but the answers tells the secret: neither a later answer nor the data directory.
    assert!(!started.show(&webhook).to_string().contains("whsec_"));
    assert_eq!(rotate(&json!({"overlap_seconds": 2_592_001})).status, 422);
}

#[test]
fn no_signature_and_no_secret_of_a_webhook_is_a_credential() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let (_, registered) = started.webhook(&receiver.url(), &["rollcall.friendship.*"], "v4");
    let (_, standard) = started.webhook(&receiver.url(), &["rollcall.friendship.*"], "standard");
    started.register(&["ada", "bob"]);
    started.service.post(APP, "/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("optType", "1")]).ok();
    started.service.eventually("both are told", |_| receiver.acknowledged().len() == 2);
    let sent = receiver.acknowledged().into_iter().find(|one| one.path.contains('?')).unwrap();
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(sent.path.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
    let (nonce, timestamp) = (&query["nonce"], &query["timestamp"]);
    assert_eq!(query["signature"], signature(APP.secret, nonce, timestamp), "receivers check it as the platform's");
    assert_eq!(query["signTimestamp"], *timestamp);
    let text = format!("{nonce}{timestamp}");
    for cut in 0..=text.len() {
        let (nonce, timestamp) = text.split_at(cut);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [
            header("App-Key", APP.key),
            header("Nonce", nonce),
            header("Timestamp", timestamp),
            header("Signature", &query["signature"]),
        ];
        let reply = started.service.request("POST", "/user/info.json", &headers, b"userId=bob");
        assert_eq!(reply.status, 401, "{nonce} {timestamp}: {}", reply.text);
    }
    let secret = standard["secret"].as_str().unwrap();
    for bearer in [secret.to_owned(), format!("{}:{secret}", APP.key), registered["public_key"].to_string()] {
        let headers = [("Authorization".to_owned(), format!("Bearer {bearer}"))];
        assert_eq!(started.service.request("GET", "/api/v1/users", &headers, b"").status, 401);
    }
}
