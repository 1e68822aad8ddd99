//! `rollcall serve`.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rollcall_schemas::plain::{Environment, Plan};

use super::config::{AppSpec, FileCell, FileDatabase, FileFormat, FileNet};
use super::out::say;
use super::signals::{self, Stop};
use super::wiring::{DataDir, KeyOptions, Notices, Place};
use super::{Failure, ServeArgs, apps, config, places, runtime, sockets};
use crate::delivery::feed::Feed;
use crate::delivery::webhooks::address::Allowed;
use crate::delivery::webhooks::{self, Webhooks};
use crate::engine::Engine;
use crate::live;
use crate::live::presence::Timing;
use crate::live::registry::{Limits, Registry};
use crate::supervision::{self, fallible_task, task};
use crate::tasks;
use crate::{audit, background, engine, http, telemetry};

/// How long a service that was asked to stop still answers unless the operator says otherwise: the health checks of
/// `deploy/haproxy.cfg` need 2 s, those of `deploy/kubernetes` 4 s.
const DRAIN_DEFAULT: Duration = Duration::from_secs(5);
const DRAIN_MAX: Duration = Duration::from_secs(600);
const WEBHOOK_WAIT_MAX: Duration = Duration::from_hours(168);

struct Settings {
    listen: SocketAddr,
    place: Place,
    apps: Vec<AppSpec>,
    workers: usize,
    checkpoint_copy: Option<PathBuf>,
    rotate_keys_every: Option<Duration>,
    ready_with_parked: bool,
    answer_max: Duration,
    slow_after: Duration,
    drain: Duration,
    limits: Limits,
    presence: Timing,
    sockets: http::SocketOptions,
    webhooks: webhooks::Options,
    search_users_max: usize,
    cors_origins: Vec<http::Origin>,
    tls: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    fn gather(args: ServeArgs, file: config::File) -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = args.workers.or(file.workers).unwrap_or(cores);
        if !(1..=256).contains(&workers) {
            return Err("the number of workers must be from 1 to 256".into());
        }
        let seconds =
            args.request_timeout_seconds.or(file.request_timeout_seconds).unwrap_or(http::ANSWER_MAX.as_secs());
        if !(1..=600).contains(&seconds) {
            return Err("the request timeout must be from 1 to 600 seconds".into());
        }
        let drain = match args.drain_seconds.or(file.drain_seconds).map(Duration::try_from_secs_f64) {
            None => DRAIN_DEFAULT,
            Some(Ok(drain)) if drain <= DRAIN_MAX => drain,
            Some(_) => return Err("--drain-seconds must be from 0 to 600".into()),
        };
        let slow_after = match args.slow_request_seconds.or(file.slow_request_seconds) {
            None => http::SLOW_AFTER,
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .map_err(|_| "--slow-request-seconds must be a number of seconds, such as 0.5")?,
        };
        let sockets = args.sockets.over(file.sockets());
        let (presence, (limits, sockets)) = (sockets.timing()?, sockets.read()?);
        // An app a flag names is stronger than the same app in the file.
        let mut apps = args.apps;
        let in_files = args.app_file.into_iter().flat_map(|file| file.0);
        for spec in in_files.chain(file.apps.into_iter().map(|config::FileSpec(spec)| spec)) {
            if !apps.iter().any(|app| app.key == spec.key) {
                apps.push(spec);
            }
        }
        let allowed = args.webhook_allow.into_iter().chain(file.webhook_allow.into_iter().map(|FileNet(range)| range));
        let mut webhooks = webhook_options(
            allowed.collect(),
            if args.webhook_waits.is_empty() { &file.webhook_waits } else { &args.webhook_waits },
            args.webhook_timeout_seconds.or(file.webhook_timeout_seconds),
        )?;
        if let Some(seconds) = args.webhook_failing_after_seconds.or(file.webhook_failing_after_seconds) {
            webhooks.failing_after = Duration::from_secs(seconds.into());
        }
        if let Some(hours) = args.webhook_disabled_after_hours.or(file.webhook_disabled_after_hours) {
            webhooks.disabled_after = Duration::from_hours(hours.into());
        }
        let tls = match (args.tls_cert.or(file.tls_cert), args.tls_key.or(file.tls_key)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("TLS needs both --tls-cert and --tls-key".into()),
        };
        let in_file = file.cors_origin.into_iter().map(|config::FileOrigin(origin)| origin);
        let cors_origins = if args.cors_origins.is_empty() { in_file.collect() } else { args.cors_origins };
        Ok(Self {
            webhooks,
            search_users_max: args.search_users_max.or(file.search_users_max).unwrap_or(engine::search::USERS_MAX),
            cors_origins,
            tls,
            listen: args.listen.or(file.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            place: Place {
                dir: args.data_dir.or(file.data_dir).unwrap_or_else(|| "./data".into()),
                keys: args.keys.over(KeyOptions {
                    database: file.vault_database.map(|FileDatabase(database)| database),
                    cell: file.root_cell.map(|FileCell(cell)| cell).unwrap_or_default(),
                    allow_unsuitable_mount: file.allow_unsuitable_mount.unwrap_or_default(),
                    allow_insecure_vault: file.vault_insecure.unwrap_or_default(),
                }),
                log: args.servers.over(
                    file.database.map(|FileDatabase(database)| database),
                    file.kurrentdb.as_deref().map(places::kurrentdb).transpose()?,
                ),
            },
            apps,
            workers,
            answer_max: Duration::from_secs(seconds),
            slow_after,
            drain,
            limits,
            presence,
            sockets,
            ready_with_parked: args.ready_with_parked || file.ready_with_parked.unwrap_or_default(),
            checkpoint_copy: args.checkpoint_copy.or(file.checkpoint_copy),
            rotate_keys_every: match args.rotate_keys_every_hours.or(file.rotate_keys_every_hours) {
                None | Some(0) => None,
                Some(hours) => Some(Duration::from_secs(u64::from(hours) * 3_600)),
            },
        })
    }
}

fn webhook_options(
    allowed: Vec<ipnet::IpNet>,
    waits: &[f64],
    timeout: Option<f64>,
) -> Result<webhooks::Options, Failure> {
    let mut options = webhooks::Options { allowed: Allowed(allowed), ..webhooks::Options::default() };
    if !waits.is_empty() {
        let waits: Option<Vec<Duration>> = waits.iter().map(|wait| Duration::try_from_secs_f64(*wait).ok()).collect();
        let waits = waits.filter(|waits| waits.len() <= 20 && waits.iter().all(|wait| *wait <= WEBHOOK_WAIT_MAX));
        options.waits = waits.ok_or("--webhook-waits are at most 20 waits, each from 0 to 604800 seconds")?;
    }
    if let Some(seconds) = timeout {
        let is_fit = (0.1..=60.0).contains(&seconds);
        let timeout = Duration::try_from_secs_f64(seconds).ok().filter(|_| is_fit);
        options.exchange_max = timeout.ok_or("--webhook-timeout-seconds must be from 0.1 to 60")?;
    }
    Ok(options)
}

pub(super) fn run(args: ServeArgs, log_format: Option<telemetry::Format>) -> Result<ExitCode, Failure> {
    let file = match &args.config {
        Some(path) => config::read(path)?,
        None => config::File::default(),
    };
    let in_file = file.log_format.as_ref().map(|FileFormat(format)| *format);
    // Dropped last: what is said of the end is exported too.
    let _telemetry = telemetry::start(log_format.or(in_file).unwrap_or(telemetry::Format::Text), true)?;
    let mut settings = Settings::gather(args, file)?;
    let tls =
        settings.tls.take().map(|(certificate, key)| http::Tls::open(certificate, key)).transpose()?.map(Arc::new);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listener = TcpListener::bind(settings.listen)
        .map_err(|error| format!("cannot listen on {}: {error}; choose another --listen address", settings.listen))?;
    let address = listener.local_addr()?;
    let data = DataDir::create(&settings.place)?.with_checkpoint_copy(settings.checkpoint_copy);
    let runtime = runtime()?;
    let keeper = runtime.block_on(data.opened_keeper())?;
    let service = runtime.block_on(data.start())?;
    runtime.block_on(prepare_apps(&service.engine, &settings.apps, (scheme, address)))?;
    sockets::raise_file_limit(settings.limits);
    let live = data.live(service.engine.clone(), Registry::new(settings.limits), settings.presence)?;
    let (engine, stop) = (|| service.engine.clone(), || service.stopping());
    let feed = Arc::new(Feed::new(engine(), runtime.handle().clone()));
    let notices = Arc::new(Notices::new(engine(), keeper.clone()));
    let deliveries = runtime.block_on(data.deliveries())?;
    let Settings { webhooks, .. } = settings;
    let delivering = background::yielding("deliveries")?;
    let webhooks = Arc::new(Webhooks::new(engine(), deliveries, notices, webhooks, delivering.handle().clone()));
    let mut background = vec![
        runtime.spawn(task("expiry", stop(), engine::expiry::run(engine(), stop()))),
        runtime.spawn(task("operations", stop(), engine::operations::run(engine(), stop()))),
        runtime.spawn(task("rebuilds", stop(), engine::rebuilds::run(engine(), stop()))),
        runtime.spawn(task("erasures", stop(), audit::erasure::run(engine(), keeper.clone(), stop()))),
        runtime.spawn(task("webhooks", stop(), webhooks.clone().run(stop()))),
        runtime.spawn(task("webhook-presence", stop(), webhooks.clone().tell_presence(stop()))),
        runtime.spawn(task("search", stop(), engine::search::run(engine(), settings.search_users_max, stop()))),
        runtime.spawn(task("rotation", stop(), engine::rotation::run(engine(), settings.rotate_keys_every, stop()))),
        runtime.spawn(fallible_task("tree-keeper", stop(), keeper.clone().run(stop()))),
        runtime.spawn(task("live-follower", stop(), live::follower::run(live.clone(), stop()))),
        runtime.spawn(task("presence", stop(), live.clone().keep_presence(stop()))),
        runtime.spawn(task("last-seen", stop(), live.clone().keep_last_seen(stop()))),
        runtime.spawn(task("presence-pushes", stop(), live.clone().push_changes(stop()))),
        runtime.spawn(task("live-check", stop(), live::check::run(live.clone(), stop()))),
        runtime.spawn(task("feed", stop(), feed.clone().follow(stop()))),
        runtime.spawn(task("incidents", stop(), audit::incident::watch(engine(), data.incidents.clone(), stop()))),
    ];
    if let Some(tls) = tls.clone() {
        background.push(runtime.spawn(task("tls-files", stop(), tls.follow_files(stop()))));
    }
    let replays = Arc::new(audit::replays::Replays::start(runtime.handle().clone())?);
    let Settings { workers, ready_with_parked, answer_max, slow_after, sockets, cors_origins, .. } = settings;
    let options = http::Options { workers, ready_with_parked, answer_max, slow_after, sockets, cors_origins, tls };
    // Before it says that it listens: who then asks it to stop must be heard.
    let asked = signals::listen()?;
    let served = actix_web::rt::System::new().block_on(async {
        let drain = http::Drain::default();
        let (keeper, replays) = (keeper.clone(), replays.clone());
        let parts = http::Parts { engine: engine(), keeper, replays, live, feed, webhooks: Some(webhooks) };
        let server = http::run(parts, listener, options, &drain)?;
        let handle = server.handle();
        tasks::spawn_local(async move {
            let stop = async {
                // Somebody at a terminal waits for the end, and no proxy has to notice it first.
                let wait = if asked.await == Ok(Stop::Terminal) { Duration::ZERO } else { settings.drain };
                let seconds = wait.as_secs_f64();
                tracing::info!(
                    "asked to stop; not ready, and answers for {seconds} s more; a second signal ends it at once"
                );
                drain.stop(&handle, wait).await;
            };
            tokio::select! {
                () = stop => {}
                () = supervision::one_ended() => handle.stop(false).await,
            }
        });
        // Nobody may be reading; that is no reason not to serve.
        let _ = writeln!(std::io::stdout(), "listening on {scheme}://{address}");
        server.await
    });
    replays.stop();
    if let Some(reason) = supervision::ended() {
        // What was acknowledged is durable; nothing is waited for that may never come.
        runtime.shutdown_background();
        delivering.shutdown_background();
        return Err(reason.into());
    }
    service.stopping().cancel();
    for task in background {
        let _ = runtime.block_on(task);
    }
    service.stop();
    drop(data);
    // An exchange with a receiver that hangs is not waited for: it is made once more.
    delivering.shutdown_background();
    runtime.shutdown_background();
    served?;
    Ok(ExitCode::SUCCESS)
}

/// Creates the apps that are named and absent; where there is none at all, a development app.
async fn prepare_apps(engine: &Arc<Engine>, specs: &[AppSpec], address: (&str, SocketAddr)) -> Result<(), Failure> {
    for spec in specs {
        if let Some(app) = engine.app(spec.key.as_str()) {
            apps::must_know(&app, spec)?;
        } else {
            apps::create(engine, spec).await?;
            say!("created app {} ({})", spec.key, spec.environment);
        }
    }
    if engine.apps().is_empty() {
        let spec = AppSpec {
            key: apps::random_key()?,
            secret: engine::secrets::fresh(),
            environment: Environment::Development,
            plan: Plan::Starter,
        };
        apps::create(engine, &spec).await?;
        print_first_session(&spec, address);
    }
    Ok(())
}

fn print_first_session(spec: &AppSpec, (scheme, address): (&str, SocketAddr)) {
    let AppSpec { key, secret, .. } = spec;
    say!("created a development app (this secret is shown once, keep it):");
    say!("  App-Key:    {key}");
    say!("  App-Secret: {secret}");
    say!("try it:");
    say!(
        "  S={secret}; N=$RANDOM; T=$(date +%s%3N); curl -s {scheme}://{address}/user/getToken.json -H 'App-Key: {key}' \
         -H \"Nonce: $N\" -H \"Timestamp: $T\" -H \"Signature: $(printf '%s' \"$S$N$T\" | sha1sum | cut -c1-40)\" \
         -d 'userId=ada&name=Ada'"
    );
}
