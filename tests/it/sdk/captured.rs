//! What the six official SDKs put on the wire, byte for byte but for host and port.

use serde_json::json;

use crate::support::service::{parse, signature};
use crate::support::{App, Reply, Service};

struct Captured {
    sdk: &'static str,
    nonce: &'static str,
    timestamp: &'static str,
    signature: &'static str,
    head: &'static str,
    body: &'static str,
    /// The name the service has to understand.
    name: &'static str,
}

const CAPTURED: [Captured; 6] = [
    Captured {
        sdk: "node rongcloud-sdk 3.1.1",
        nonce: "8383047",
        timestamp: "1795420824",
        signature: "037073218f6c28260140fa9d8f2bc53dc139ddb3",
        head: "POST /user/getToken.json HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip, deflate\r\n\
            User-Agent: rc-nodejs-sdk/3.1.1\r\nNonce: 8383047\r\nTimestamp: 1795420824\r\n\
            Signature: 037073218f6c28260140fa9d8f2bc53dc139ddb3\r\nApp-Key: testkey\r\n\
            Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 120\r\nConnection: close\r\n\r\n",
        body: "name=%E9%93%81%20%E4%BA%BA%2B%26%3D&userId=jlk456j5&portraitUri=http%3A%2F%2Fabc.com%2Fmy%20portrait.jpg%3Fa%3D1%26b%3D2",
        name: "铁 人+&=",
    },
    Captured {
        sdk: "python rongcloud 2.0.1",
        nonce: "0.4634744835694601",
        timestamp: "1795420857000",
        signature: "40fb4a317b9b66bb72f8a8f5a1d8c7966c6b51ae",
        head: "POST /user/getToken.json HTTP/1.1\r\nHost: {host}\r\nUser-Agent: python-requests/2.34.2\r\n\
            Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nrc-app-key: testkey\r\n\
            rc-nonce: 0.4634744835694601\r\nrc-timestamp: 1795420857000\r\n\
            rc-signature: 40fb4a317b9b66bb72f8a8f5a1d8c7966c6b51ae\r\n\
            content-type: application/x-www-form-urlencoded\r\nContent-Length: 108\r\n\r\n",
        body: "userId=jlk456j5&name=%E9%93%81+%E4%BA%BA%2B%26%3D&portraitUri=http%3A%2F%2Fabc.com%2Fmy+portrait.jpg%3Fa%3D1",
        name: "铁 人+&=",
    },
    Captured {
        sdk: "python rc-server-sdk 3.2.0",
        nonce: "119405284",
        timestamp: "1795420858",
        signature: "13ae7b0eccbc1b8ae8228887171e9d7174a9a99b",
        head: "POST /user/getToken.json HTTP/1.1\r\nAccept-Encoding: identity\r\n\
            Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 67\r\nHost: {host}\r\nApp-Key: testkey\r\n\
            Nonce: 119405284\r\nTimestamp: 1795420858\r\nSignature: 13ae7b0eccbc1b8ae8228887171e9d7174a9a99b\r\n\
            User-Agent: rc-python-sdk/3.2.0\r\nConnection: close\r\n\r\n",
        body: "userId=jlk456j5&name=铁 人+%&portraitUri=http://abc.com/p.jpg?a=1",
        // It does not encode what it sends: a plus sign is a space to every reader of forms.
        name: "铁 人 %",
    },
    Captured {
        sdk: "go 4.0.7",
        nonce: "5577006791947779410",
        timestamp: "1795421029",
        signature: "dc77e553c3627e44b163a51567e3b5b7dd78156c",
        head: "POST /user/getToken.json HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rc-go-sdk/4.0.7\r\nContent-Length: 97\r\n\
            App-Key: testkey\r\nContent-Type: application/x-www-form-urlencoded\r\nNonce: 5577006791947779410\r\n\
            Signature: dc77e553c3627e44b163a51567e3b5b7dd78156c\r\nTimestamp: 1795421029\r\n\
            X-Request-Id: 60c3115e-3873-4d45-a70a-1d82268f7a0e\r\nAccept-Encoding: gzip\r\n\r\n",
        body: "userId=jlk456j5&name=%E9%93%81+%E4%BA%BA%2B%26&portraitUri=http%3A%2F%2Fabc.com%2Fp+q.jpg%3Fa%3D1",
        name: "铁 人+&",
    },
    Captured {
        sdk: "java 4.0.11",
        nonce: "617010.8878928286",
        timestamp: "1795421139",
        signature: "84a97332eb8c3de2ec97b89a6200231d076fed47",
        head: "POST /user/getToken.json HTTP/1.1\r\nApp-Key: testkey\r\nNonce: 617010.8878928286\r\nTimestamp: 1795421139\r\n\
            Signature: 84a97332eb8c3de2ec97b89a6200231d076fed47\r\nUser-Agent: rc-java-sdk/${project.version}\r\n\
            Connection: close\r\nX-Request-ID: 2b38b96714c54625ac3d35df2f54ff37\r\n\
            Content-Type: application/x-www-form-urlencoded\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\
            Host: {host}\r\nAccept: text/html, image/gif, image/jpeg, */*; q=0.2\r\nContent-Length: 97\r\n\r\n",
        body: "userId=jlk456j5&name=%E9%93%81+%E4%BA%BA%2B%26&portraitUri=http%3A%2F%2Fabc.com%2Fp+q.jpg%3Fa%3D1",
        name: "铁 人+&",
    },
    Captured {
        sdk: "php 3.4.2",
        nonce: "871377558",
        timestamp: "1795421196",
        signature: "093902d9526959142b4065dda891ae14164dfbff",
        head: "POST /user/getToken.json HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rc-php-sdk/3.4.2\r\nAccept: */*\r\n\
            App-Key:testkey\r\nNonce:871377558\r\nTimestamp:1795421196\r\n\
            Signature:093902d9526959142b4065dda891ae14164dfbff\r\nX-Request-ID:86cb8660c842189547b5e7a3f51c776f\r\n\
            Content-Type:application/x-www-form-urlencoded\r\nContent-Length: 97\r\n\r\n",
        body: "name=%E9%93%81+%E4%BA%BA%2B%26&userId=jlk456j5&portraitUri=http%3A%2F%2Fabc.com%2Fp+q.jpg%3Fa%3D1",
        name: "铁 人+&",
    },
];

/// What the SDKs were given when they were captured; their signatures are of this secret.
const CAPTURED_WITH: App = App { key: "testkey", secret: "testsecret", kind: "development" };

/// Sends what was captured and reads one answer, whether or not the connection stays open.
fn replay(service: &Service, captured: &Captured) -> Reply {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(service.address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let head = captured.head.replace("{host}", &service.address.to_string());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(captured.body.as_bytes()).unwrap();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).unwrap();
        answer.extend_from_slice(&buffer[..count]);
        let reply = parse(&answer);
        let length = reply.as_ref().and_then(|reply| reply.header("content-length")?.parse().ok());
        if count == 0 || reply.as_ref().is_some_and(|reply| Some(reply.text.len()) == length) {
            return reply.unwrap_or_else(|| panic!("{}: no answer", captured.sdk));
        }
    }
}

#[test]
fn the_signature_of_every_captured_request_is_recomputed_from_its_own_parts() {
    for captured in CAPTURED {
        let computed = signature(CAPTURED_WITH.secret, captured.nonce, captured.timestamp);
        assert_eq!(computed, captured.signature, "{}", captured.sdk);
        assert!(captured.head.contains(captured.signature), "{}", captured.sdk);
        let length = format!("Content-Length: {}\r\n", captured.body.len());
        assert!(captured.head.contains(&length), "{}: {length}", captured.sdk);
    }
}

#[test]
fn the_captured_registration_of_every_sdk_is_answered_and_understood() {
    let service = Service::start(&[CAPTURED_WITH]);
    for captured in CAPTURED {
        let reply = replay(&service, &captured).ok();
        assert_eq!(reply.json()["userId"], "jlk456j5", "{}", captured.sdk);
        assert!(reply.json()["token"].is_string(), "{}", captured.sdk);
        let info = service.post(CAPTURED_WITH, "/user/info.json", &[("userId", "jlk456j5")]).ok();
        assert_eq!(info.json()["userName"], captured.name, "{}", captured.sdk);
    }
}

#[test]
fn the_forms_of_the_go_java_and_php_sdks_are_understood() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let service = Service::start(&[App::PRODUCTION]);
    let app = App::PRODUCTION;
    service.register(app, &["u1", "u2", "u3"]);
    let good = |path: &str, body: &str| service.send(app, path, FORM, body.as_bytes()).ok().json();
    // Go sends a parameter it has no value for, and asks with a double slash.
    good("/user/refresh.json", "name=N&userId=u1&portraitUri=");
    assert_eq!(good("/user/info.json", "userId=u1")["userName"], "N");
    good("/user/token/expire.json", "userId=u1&time=1795421029000");
    good("/user/token/expire.json", "time=1795421029000&userId=u1&userId=u2");
    good("/user/block.json", "userId=u1&userId=u2&minute=10");
    good("/user/block/query.json", "");
    assert_eq!(good("/user/block/query.json", "size=50&page=1")["users"].as_array().unwrap().len(), 2);
    good("/user/blacklist/add.json", "blackUserId=u2&blackUserId=u3&userId=u1");
    let first = good("/user/blacklist/query.json", "userId=u1&size=1");
    let next = first["next"].as_str().unwrap();
    let second = good("/user/blacklist/query.json", &format!("size=1&pageToken={next}&userId=u1"));
    assert_ne!(first["users"], second["users"]);
    good("/user/profile/set.json", "userId=u1&userProfile=%7B%22name%22%3A%22A%22%7D");
    for ids in ["userId=u1%2Cu2", "userId=u1,u2", "userId=u1&userId=u2"] {
        assert_eq!(good("/user/profile/batch/query.json", ids)["userList"][0]["version"], 1, "{ids}");
    }
    good("/user/profile/query.json", "page=1&size=20&order=0");
    good("/friend/add.json", "userId=u1&targetId=u2&optType=2&extra=");
    assert_eq!(
        good("/friend/check.json", "userId=u1&targetIds=u2%2Cu3")["results"],
        json!([{"userId": "u2", "result": 4}, {"userId": "u3", "result": 1}])
    );
    assert_eq!(good("/friend/get.json", "userId=u1&pageToken=&size=50&order=0")["totalCount"], 1);
    let escaped = br#"{"userId":"u1","tags":["\u7537","b"]}"#;
    service.send(app, "/user/tag/set.json", "application/json", escaped).ok();
    assert_eq!(good("/user/tags/get.json", "userIds=u1&userIds=u2")["result"], json!({"u1": ["男", "b"], "u2": []}));
    good("/user/deactivate.json", "userId=u2%2Cu3");
    assert_eq!(good("//user/deactivate/query.json", "pageSize=50&pageNo=1")["users"].as_array().unwrap().len(), 2);
}
