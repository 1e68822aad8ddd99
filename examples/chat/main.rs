//! The back end of a small chat app: `cargo run --release --example chat`, then open what it prints.
//!
//! A back end does three things for its clients: it registers its users with Rollcall, hands each the access token that it gets
//! for it, and acts for the app's moderators. It alone knows the app's secret; the pages talk to Rollcall themselves.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Parser;
use serde_json::{Value, json};

/// Registered the first time they are asked for.
const USERS: &[(&str, &str)] = &[("ada", "Ada"), ("bob", "Bob")];
const BAN_MINUTES: u32 = 10;
const ROLLCALL_WAIT: Duration = Duration::from_secs(10);

/// The static files: path, type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    ("/chat.css", "text/css; charset=utf-8", include_str!("chat.css")),
    ("/chat.js", "text/javascript; charset=utf-8", include_str!("chat.js")),
    ("/rollcall.js", "text/javascript; charset=utf-8", include_str!("rollcall.js")),
];

/// Serves a page with two users and a moderator.
#[derive(Parser)]
struct Options {
    /// Address of the page
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// A Rollcall that runs already; without it, one is started, over an empty data directory
    #[arg(long, value_name = "URL", requires = "app")]
    rollcall: Option<String>,
    /// The app there, as KEY:SECRET
    #[arg(long, env = "CHAT_APP", hide_env_values = true)]
    app: Option<String>,
}

fn main() -> ExitCode {
    // This program has Rollcall in it: as `chat serve …` it is `rollcall serve …`.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return rollcall::cli::main();
    }
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let own = if options.rollcall.is_none() { Some(Own::start()?) } else { None };
    let (url, app) = match &own {
        Some(own) => (own.url.clone(), own.app.clone()),
        None => (options.rollcall.unwrap_or_default(), options.app.unwrap_or_default()),
    };
    let rollcall = Rollcall::new(url.trim_end_matches('/').to_owned(), &app);
    let listener = TcpListener::bind(options.listen)?;
    println!("Rollcall is at {}, its interface to try at {}/docs", rollcall.url, rollcall.url);
    println!("open http://{}/", listener.local_addr()?);
    serve(rollcall, listener)?;
    Ok(())
}

/// Serves the page until the process is told to stop.
#[actix_web::main]
async fn serve(rollcall: Rollcall, listener: TcpListener) -> std::io::Result<()> {
    let rollcall = web::Data::new(rollcall);
    let server = HttpServer::new(move || {
        let app = App::new()
            .app_data(rollcall.clone())
            .route("/session/{user}", web::post().to(session))
            .route("/moderator/bans/{user}", web::put().to(ban))
            .route("/moderator/bans/{user}", web::delete().to(unban));
        FILES.iter().fold(app, |app, (path, kind, content)| {
            app.route(path, web::get().to(move |rollcall: web::Data<Rollcall>| file(rollcall, kind, content)))
        })
    });
    server.workers(1).shutdown_timeout(1).listen(listener)?.run().await
}

/// The page may load what is served here and talk to Rollcall's socket, and nothing else.
async fn file(rollcall: web::Data<Rollcall>, kind: &'static str, content: &'static str) -> HttpResponse {
    let policy = format!(
        "default-src 'self'; connect-src 'self' {}; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        rollcall.socket()
    );
    let headers = [("content-type", kind), ("cache-control", "no-cache"), ("content-security-policy", policy.as_str())];
    headers.into_iter().fold(&mut HttpResponse::Ok(), |response, header| response.insert_header(header)).body(content)
}

/// Registers a user and answers its access token. A real back end has its own users sign in first.
async fn session(rollcall: web::Data<Rollcall>, user: web::Path<String>) -> HttpResponse {
    answer(&user, move |id, name| {
        let registered = rollcall.ask("PUT", &format!("users/{id}"), Some(json!({"name": name})))?;
        Ok(json!({"user_id": id, "name": name, "token": registered["token"], "socket": rollcall.socket()}))
    })
    .await
}

/// Bans a user. A real back end looks whether its moderator asks.
async fn ban(rollcall: web::Data<Rollcall>, user: web::Path<String>) -> HttpResponse {
    answer(&user, move |id, _| {
        rollcall.ask("PUT", &format!("users/{id}/ban"), Some(json!({"minutes": BAN_MINUTES, "reason": "example"})))
    })
    .await
}

async fn unban(rollcall: web::Data<Rollcall>, user: web::Path<String>) -> HttpResponse {
    answer(&user, move |id, _| rollcall.ask("DELETE", &format!("users/{id}/ban"), None)).await
}

/// Answers what Rollcall is asked about one of the users, on a thread that may wait.
async fn answer<A>(user: &str, ask: A) -> HttpResponse
where
    A: FnOnce(&str, &str) -> Result<Value, Refused> + Send + 'static,
{
    let known: BTreeMap<_, _> = USERS.iter().copied().collect();
    let Some((id, name)) = known.get_key_value(user).map(|(id, name)| (*id, *name)) else {
        return Refused(404, "there is no such user".into()).into();
    };
    match web::block(move || ask(id, name)).await {
        Ok(Ok(told)) => HttpResponse::Ok().json(told),
        Ok(Err(refused)) => refused.into(),
        Err(error) => Refused(503, error.to_string()).into(),
    }
}

/// What was not done, and why.
struct Refused(u16, String);

impl From<Refused> for HttpResponse {
    fn from(Refused(status, error): Refused) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        HttpResponse::build(status).json(json!({"error": error}))
    }
}

/// Rollcall as a back end sees it: `/api/v1`, with the app's secret.
struct Rollcall {
    url: String,
    authorization: String,
    agent: ureq::Agent,
}

impl Rollcall {
    fn new(url: String, app: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ROLLCALL_WAIT));
        Self { url, authorization: format!("Bearer {app}"), agent: config.build().into() }
    }

    /// Where clients connect.
    fn socket(&self) -> String {
        format!("{}/client/v1/connect", self.url.replacen("http", "ws", 1))
    }

    /// Asks it something and waits for the answer.
    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, Refused> {
        let unavailable = |error: &dyn std::fmt::Display| Refused(502, format!("Rollcall does not answer: {error}"));
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api/v1/{path}", self.url))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(body.map(|body| body.to_string()).unwrap_or_default())
            .map_err(|error| unavailable(&error))?;
        let mut answer = self.agent.run(request).map_err(|error| unavailable(&error))?;
        let text = answer.body_mut().read_to_string().map_err(|error| unavailable(&error))?;
        let told: Value = if text.is_empty() { json!({}) } else { serde_json::from_str(&text).unwrap_or_default() };
        match answer.status().as_u16() {
            200..300 => Ok(told),
            // Problem details: `detail` is for people.
            status => Err(Refused(status, told["detail"].as_str().unwrap_or("refused").to_owned())),
        }
    }
}

/// A Rollcall of one's own, as a process beside this one.
struct Own {
    process: Child,
    url: String,
    app: String,
    _data: tempfile::TempDir,
}

impl Own {
    fn start() -> Result<Self, Box<dyn Error>> {
        let data = tempfile::tempdir()?;
        let app = format!("chat:{}", uuid::Uuid::new_v4().simple());
        let mut command = Command::new(std::env::current_exe()?);
        // Settings of another service, such as its database, are not for this one.
        let settings = std::env::vars_os().map(|(name, _)| name).filter(|name| name != "ROLLCALL_LOG");
        settings.filter(|name| name.to_string_lossy().starts_with("ROLLCALL_")).for_each(|name| {
            command.env_remove(name);
        });
        let mut process = command
            .args("serve --listen 127.0.0.1:0 --drain-seconds 0 --client-connections 100 --data-dir".split(' '))
            .arg(data.path().join("data"))
            // Not as an argument, which every user of the machine can read.
            .env("ROLLCALL_APP", &app)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = process.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines());
        let mut lines = lines.map_while(Result::ok);
        let url = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        // What it prints later is read too, so that it is never held up.
        std::thread::spawn(move || lines.for_each(drop));
        let mut own = Self { process, url: String::new(), app, _data: data };
        own.url = url.ok_or("Rollcall did not start")?;
        Ok(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Whether it still runs or not, nothing of it is kept.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
