//! A headless Chromium, driven over WebDriver (w3.org/TR/webdriver2).
//!
//! By a few calls of our own: the crate `thirtyfour` turns on `serde_json/preserve_order` in whatever is built with it, and the
//! tests would then run another service than the one that is shipped (docs/decisions/0036-a-page-of-our-own.md).

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The key Enter, as WebDriver writes it.
pub const ENTER: &str = "\u{e007}";

/// A browser with one window. It is ended when dropped.
pub struct Browser {
    driver: Child,
    agent: ureq::Agent,
    /// URL of the session.
    session: String,
    profile: tempfile::TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium and its driver are not installed: run ./test.sh, which installs them");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let started = lines.find_map(|line| Some(line.split_once("successfully on port ")?.1.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let port = started.expect("chromedriver does not start").trim_end_matches('.').to_owned();
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(DEADLINE));
        let session = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, agent: config.build().into(), session, profile };
        let directory = format!("--user-data-dir={}", browser.profile.path().display());
        let arguments = [
            "--headless",
            // The tests may run as root, in a container with a small /dev/shm.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &directory,
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}
        });
        let created = browser.call("", &json!({"capabilities": {"alwaysMatch": capabilities}}));
        let id = created.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        browser.session = format!("{}/{}", browser.session, id["sessionId"].as_str().unwrap());
        browser
    }

    /// A command of WebDriver; the error is its name and message.
    fn call(&self, command: &str, parameters: &Value) -> Result<Value, String> {
        let request = self.agent.post(format!("{}{command}", self.session)).content_type("application/json");
        let mut answer = request.send(parameters.to_string()).map_err(|error| error.to_string())?;
        let text =
            answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
        let mut told: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let value = told["value"].take();
        if answer.status().is_success() { Ok(value) } else { Err(format!("{}: {}", value["error"], value["message"])) }
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.call("/url", &json!({"url": url})).unwrap();
    }

    #[track_caller]
    pub fn reload(&self) {
        self.call("/refresh", &json!({})).unwrap();
    }

    /// Runs the body of a function of JavaScript.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", &json!({"script": script, "args": []})).unwrap()
    }

    /// Shows the page as a telephone does.
    #[track_caller]
    pub fn narrow(&self, width: u32) {
        let parameters = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": parameters});
        self.call("/goog/cdp/execute", &command).unwrap();
    }

    /// Does something with an element once it is there and lets itself be used.
    #[track_caller]
    fn with(&self, selector: &str, command: &str, parameters: &Value) {
        let until = Instant::now() + DEADLINE;
        loop {
            let found =
                self.call("/element", &json!({"using": "css selector", "value": format!("{selector}:not(:disabled)")}));
            let done = found.and_then(|element| {
                self.call(&format!("/element/{}/{command}", element[ELEMENT].as_str().unwrap()), parameters)
            });
            let Err(error) = done else { return };
            assert!(Instant::now() < until, "{command} {selector}: {error}; the page: {}", self.page());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks as a person does: the element has to be seen, and nothing may cover it.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.with(selector, "click", &json!({}));
    }

    #[track_caller]
    pub fn type_into(&self, selector: &str, text: &str) {
        self.with(selector, "value", &json!({"text": text}));
    }

    #[track_caller]
    pub fn clear(&self, selector: &str) {
        self.with(selector, "clear", &json!({}));
    }

    /// The text of an element; empty where there is none.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.textContent ?? ''", json!(selector));
        self.run(&script).as_str().unwrap().to_owned()
    }

    /// Waits until the text of an element contains something.
    #[track_caller]
    pub fn until(&self, selector: &str, expected: &str) {
        let until = Instant::now() + DEADLINE;
        while !self.text(selector).contains(expected) {
            assert!(Instant::now() < until, "{selector} never says {expected:?}; the page: {}", self.page());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn page(&self) -> String {
        let text = self.call("/execute/sync", &json!({"script": "return document.body.innerText", "args": []}));
        format!("{}\n{:?}", text.unwrap_or_default().as_str().unwrap_or_default(), self.complaints())
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let entries = self.call("/se/log", &json!({"type": kind})).unwrap();
        entries.as_array().unwrap().clone()
    }

    /// Errors and warnings of the console since the last time.
    pub fn complaints(&self) -> Vec<String> {
        let entries =
            self.log("browser").into_iter().filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG");
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    /// Every URL that the page has asked for since the last time, also of sockets.
    pub fn requested(&self) -> Vec<String> {
        let url = |entry: Value| {
            let entry: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let (event, params) = (&entry["message"]["method"], &entry["message"]["params"]);
            let url = match event.as_str()? {
                "Network.requestWillBeSent" => &params["request"]["url"],
                "Network.webSocketCreated" => &params["url"],
                _ => return None,
            };
            // The browser's own pages, which it opens with, are at `chrome:`.
            Some(url.as_str()?.to_owned()).filter(|url| url.starts_with("http") || url.starts_with("ws"))
        };
        self.log("performance").into_iter().filter_map(url).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser in order, if it still can; whatever is left of both is killed.
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5)));
        let _ = ureq::Agent::from(config.build()).delete(&self.session).call();
        kill(&format!("-{}", self.driver.id()));
        let _ = self.driver.wait();
        let profile = self.profile.path().to_str().unwrap_or_default();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&command).contains(profile) {
                kill(&process.file_name().to_string_lossy());
            }
        }
    }
}

/// Kills a process, or a group of them.
pub fn kill(process: &str) {
    let _ = Command::new("kill").args(["-KILL", "--", process]).stderr(Stdio::null()).status();
}
