//! One question to an endpoint, asked again where that helps.

use std::io::{BufRead, BufReader, Read};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, Error};

use super::problem::Problem;
use super::wire::{Reply, Request};
use super::{Endpoint, Kind, Voice};
use crate::stream::{ErrorKind, Usage};

/// A server that does not take the line in this time is not there.
const CONNECT: Duration = Duration::from_secs(20);
/// A longer line of a stream is no event.
const LINE: u64 = 8 * 1024 * 1024;
/// More of the body of an error is not read.
const ERROR: u64 = 64 * 1024;
/// Lines of a stream that hold no event, by their beginnings.
const OTHERS: [&[u8]; 4] = [b":", b"event:", b"id:", b"retry:"];
/// The pause before the second try; before each further one it doubles, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(20);
/// Who wants to be asked later than this is not asked again.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is a whole reply, or no use in asking; tokens of all tries count.
pub(super) fn talk(
    endpoint: &Endpoint,
    key: Option<&str>,
    request: &Request,
    voice: &mut Voice,
) -> (Usage, Result<String, Problem>) {
    let agent = agent(endpoint);
    let mut used = Usage::default();
    let mut tries = 0;
    loop {
        let mut reply = Reply::new(endpoint.kind);
        let asked = ask(&agent, endpoint, key, request, &mut reply);
        used = used.plus(reply.usage);
        let problem = match asked.and_then(|()| reply.finish()) {
            Ok(text) => return (used, Ok(text)),
            Err(problem) => problem,
        };
        let too_late = problem.after.is_some_and(|after| after > PATIENCE);
        if !problem.again || too_late || tries >= endpoint.retries {
            return (used, Err(problem));
        }
        voice.error(&problem, true);
        let pause = pause(tries).max(problem.after.unwrap_or_default());
        tries += 1;
        thread::sleep(pause);
    }
}

/// The proxy is that of the environment, but for this machine.
fn agent(endpoint: &Endpoint) -> Agent {
    let timeout = Some(Duration::from_millis(endpoint.timeout_ms)).filter(|timeout| !timeout.is_zero());
    let proxy = if endpoint.is_loopback() { None } else { ureq::Proxy::try_from_env() };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A key is not carried to where a server points.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .timeout_connect(Some(CONNECT))
        .timeout_global(timeout)
        .user_agent(concat!("git-worker/", env!("CARGO_PKG_VERSION")));
    config.build().new_agent()
}

fn ask(
    agent: &Agent,
    endpoint: &Endpoint,
    key: Option<&str>,
    request: &Request,
    reply: &mut Reply,
) -> Result<(), Problem> {
    let mut post = agent.post(format!("{}{}", endpoint.url, request.path));
    post = post.header("content-type", "application/json").header("accept", "text/event-stream");
    for (name, value) in &request.headers {
        post = post.header(*name, value);
    }
    if let Some(key) = key {
        post = match endpoint.kind {
            Kind::Anthropic => post.header("x-api-key", key),
            Kind::OpenaiChat | Kind::OpenaiResponses => post.header("authorization", format!("Bearer {key}")),
        };
    }
    let mut response = post.send(request.body.to_string()).map_err(|error| broken(&error))?;
    let status = response.status().as_u16();
    if status != 200 {
        let after = retry_after(&response);
        let mut body = Vec::new();
        // What cannot be read of an error changes nothing about it.
        let _ = response.body_mut().as_reader().take(ERROR).read_to_end(&mut body);
        return Err(Problem::status(status, &body, after));
    }
    read(BufReader::new(response.body_mut().with_config().limit(u64::MAX).reader()), reply)
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(until.duration_since(shared::clock::now())).ok()
}

/// Reads a stream of events; one that is broken cannot be left out, since it may hold a piece of the text.
fn read(mut stream: impl BufRead, reply: &mut Reply) -> Result<(), Problem> {
    let mut line = Vec::new();
    let mut events = 0;
    loop {
        line.clear();
        let n = stream.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(|error| {
            let timed_out = error.kind() == std::io::ErrorKind::TimedOut || error.to_string().starts_with("timeout");
            let words = if timed_out { "the time is over".to_owned() } else { error.to_string() };
            Problem::again(ErrorKind::Network, format!("the stream broke: {words}"))
        })?;
        if n == 0 {
            break;
        }
        let broken = || Problem::again(ErrorKind::Model, "the stream holds an event that is broken".to_owned());
        let text = line.trim_ascii();
        let Some(data) = text.strip_prefix(b"data:").map(<[u8]>::trim_ascii) else {
            if text.is_empty() || OTHERS.iter().any(|name| text.starts_with(name)) {
                continue;
            }
            // It may have been a piece of the text.
            return Err(if events == 0 { no_stream() } else { broken() });
        };
        if data == b"[DONE]" || data.is_empty() {
            continue;
        }
        let event: Value = serde_json::from_slice(data).map_err(|_| broken())?;
        events += 1;
        reply.take(&event)?;
    }
    if events == 0 { Err(no_stream()) } else { Ok(()) }
}

fn no_stream() -> Problem {
    Problem::again(ErrorKind::Model, "the server answers with no stream of events".to_owned())
}

/// An error before there was an answer.
fn broken(error: &Error) -> Problem {
    let text = format!("cannot ask the server: {error}");
    match error {
        Error::Timeout(_) => Problem::again(ErrorKind::Network, "the time for an answer is over".to_owned()),
        Error::Io(_) | Error::HostNotFound | Error::ConnectionFailed | Error::ConnectProxyFailed(_) => {
            Problem::again(ErrorKind::Network, text)
        }
        Error::Protocol(_) => Problem::again(ErrorKind::Network, text),
        _ => Problem::new(ErrorKind::Network, text),
    }
}

/// The pause before the next try: half of it by chance, so that many do not come back at once.
fn pause(tries: u64) -> Duration {
    let whole = FIRST.saturating_mul(1 << tries.min(16)).min(LONGEST);
    let mut bytes = [0; 2];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    whole / 2 + whole.mul_f64(f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX))
}
