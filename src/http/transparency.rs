//! What anybody may know of the log: its signed checkpoint, the keys it is signed with, and the hashes of its tree in
//! tiles (c2sp.org/tlog-tiles). None of it says anything about a person.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Service;
use crate::audit::tree::tiles::TILE;

/// Answers `/checkpoint`, `/log/keys` and `/tile/…`; `None`: it is none of them.
pub(super) fn answer(service: &Service, path: &str) -> Option<HttpResponse> {
    match path {
        "/checkpoint" => {
            let note = service.keeper.latest().map(|signed| signed.note.clone());
            Some(note.map_or_else(missing, |note| text(StatusCode::OK, note)))
        }
        "/log/keys" => {
            let keys: Vec<_> = service.keeper.verifiers().iter().map(|verifier| format!("{verifier}\n")).collect();
            Some(text(StatusCode::OK, keys.concat()))
        }
        _ => {
            let tile = path.strip_prefix("/tile/")?;
            Some(parse(tile).and_then(|tile| hashes(service, &tile)).unwrap_or_else(missing))
        }
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, "text/plain; charset=utf-8")).insert_header((CACHE_CONTROL, "no-cache"));
    response.body(body.into())
}

fn missing() -> HttpResponse {
    text(StatusCode::NOT_FOUND, "there is no such tile or checkpoint\n")
}

/// A tile: its level, its number, and how many hashes of it.
#[derive(Debug, PartialEq, Eq)]
struct Tile {
    level: usize,
    number: u64,
    width: u64,
}

/// Reads `<L>/<N>[.p/<W>]`; N in groups of three digits, all but the last with an `x` before them.
fn parse(path: &str) -> Option<Tile> {
    let (path, width) = match path.split_once(".p/") {
        Some((path, width)) => (path, width.parse().ok().filter(|width| (1..TILE).contains(width))?),
        None => (path, TILE),
    };
    let (level, number) = path.split_once('/')?;
    let groups: Vec<&str> = number.split('/').collect();
    let (last, before) = groups.split_last()?;
    let mut number = 0_u64;
    for group in before.iter().map(|group| group.strip_prefix('x')).chain([Some(*last)]) {
        let group = group.filter(|group| group.len() == 3 && group.bytes().all(|digit| digit.is_ascii_digit()))?;
        number = number.checked_mul(1_000)?.checked_add(group.parse().ok()?)?;
    }
    let level = level.parse().ok().filter(|level| *level < 64)?;
    Some(Tile { level, number, width })
}

fn hashes(service: &Service, tile: &Tile) -> Option<HttpResponse> {
    let from = tile.number.checked_mul(TILE)?;
    let hashes = service.keeper.tiles().hashes(tile.level, from, from.checked_add(tile.width)?).ok()?;
    let mut response = HttpResponse::Ok();
    // What is in a tile never changes.
    response.insert_header((CONTENT_TYPE, "application/octet-stream"));
    response.insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"));
    Some(response.body(hashes.as_flattened().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_named_as_the_specification_names_it() {
        let tile = |level, number, width| Some(Tile { level, number, width });
        assert_eq!(parse("0/x001/x234/067"), tile(0, 1_234_067, 256));
        assert_eq!(parse("1/000.p/17"), tile(1, 0, 17));
        for bad in ["", "0", "0/1", "0/001/002", "0/x001", "0/x001/x002", "64/000", "0/000.p/0", "0/000.p/256", "a/000"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
