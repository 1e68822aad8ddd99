//! The translation between the platform's words and the domain's.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use rollcall_projections::{NumberedPage, Order};
use rollcall_schemas::ids::{OperationId, SubjectRef};
use rollcall_schemas::plain::FriendPermission;
use serde::Serialize;

use super::Call;
use super::answer::Fault;
use super::form::Form;
use crate::domain::values::{Invalid, Problem, UserId};
use crate::engine::opening::Opener;
use crate::http::cursor::Cursor as _;

/// The answer that names an operation.
#[derive(Serialize)]
pub(super) struct Operation {
    pub(super) code: u16,
    #[serde(rename = "operateId")]
    pub(super) operation: OperationId,
}

/// The answer that lists userIds.
#[derive(Serialize)]
pub(super) struct Users {
    pub(super) code: u16,
    pub(super) users: Vec<String>,
}

/// A time as the platform writes it, in UTC: `2026-11-30 08:05:09`.
pub(super) fn time(at: DateTime<Utc>) -> String {
    let (date, time) = (at.date_naive(), at.time());
    let mut text = String::with_capacity(19);
    // Digit by digit: a format that is parsed or interpreted for each value takes several times as long.
    let mut write = |number: u32, digits: u32, end: &str| {
        let digit = |place: u32| char::from_digit(number / 10_u32.pow(place) % 10, 10).unwrap_or('0');
        text.extend((0..digits).rev().map(digit));
        text.push_str(end);
    };
    write(u32::try_from(date.year()).unwrap_or_default(), 4, "-");
    write(date.month(), 2, "-");
    write(date.day(), 2, " ");
    write(time.hour(), 2, ":");
    write(time.minute(), 2, ":");
    write(time.second(), 2, "");
    text
}

/// The page that number and size name: `page` counts from 1.
///
/// # Errors
/// One of them is not a number or out of range, or the page would skip more rows than a page may.
pub(super) fn page(
    form: &Form<'_>,
    (page, size): (&'static str, &'static str),
    (usual, max): (i64, i64),
) -> Result<NumberedPage, Invalid> {
    let size = number(form.number(size, 1, max)?.unwrap_or(usual));
    let last = NumberedPage::last(size);
    let out_of_range = Invalid::new(page, Problem::OutOfRange { min: 1, max: last.into() });
    let page = number(form.number(page, 1, last.into())?.unwrap_or(1));
    NumberedPage::new(page, size).map_err(|_too_deep| out_of_range)
}

/// Converts a number whose range was checked when it was read.
pub(super) fn number(bounded: i64) -> u32 {
    u32::try_from(bounded).unwrap_or(u32::MAX)
}

/// `order`: 0 the oldest first, which is the default, 1 the newest.
///
/// # Errors
/// It is something else.
pub(super) fn order(form: &Form<'_>) -> Result<Order, Invalid> {
    Ok(match form.number("order", 0, 1)? {
        Some(1) => Order::NewestFirst,
        _ => Order::OldestFirst,
    })
}

/// An opaque page token.
pub(super) fn page_token(cursor: u64) -> String {
    cursor.encode()
}

/// The cursor of a page token; an empty token means the first page.
///
/// # Errors
/// It is not a page token.
pub(super) fn cursor(form: &Form<'_>) -> Result<Option<u64>, Invalid> {
    let Some(token) = form.text("pageToken") else { return Ok(None) };
    u64::decode(token).map(Some).ok_or(Invalid::malformed("pageToken", "the token of an earlier answer"))
}

/// Who may become a friend, as the platform numbers it.
pub(super) fn permission_number(permission: FriendPermission) -> u8 {
    match permission {
        FriendPermission::Anyone => 1,
        FriendPermission::Approval => 2,
        FriendPermission::Nobody => 3,
    }
}

/// Who may become a friend.
///
/// # Errors
/// The parameter is absent or none of 1, 2 and 3.
pub(super) fn permission(form: &Form<'_>) -> Result<FriendPermission, Invalid> {
    Ok(match form.required_number("permissionType", 1, 3)? {
        1 => FriendPermission::Anyone,
        2 => FriendPermission::Approval,
        _ => FriendPermission::Nobody,
    })
}

/// A flag the platform writes as 0 or 1.
///
/// # Errors
/// The parameter is absent or neither.
pub(super) fn flag(form: &Form<'_>, name: &'static str) -> Result<bool, Invalid> {
    Ok(form.required_number(name, 0, 1)? == 1)
}

/// A JSON object in a text parameter; absent or empty: none.
///
/// # Errors
/// It is not a JSON object.
pub(super) fn object(
    form: &Form<'_>,
    name: &'static str,
) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Invalid> {
    let Some(text) = form.text(name) else { return Ok(None) };
    serde_json::from_slice(text.as_bytes()).map(Some).map_err(|_| Invalid::malformed(name, "a JSON object"))
}

/// Opens a text a read model stores; empty where there is none or it was erased.
///
/// # Errors
/// The vault is unavailable.
pub(super) fn opened(
    opener: &mut Opener<'_>,
    subject: SubjectRef,
    field: &str,
    sealed: Option<&[u8]>,
) -> Result<String, Fault> {
    let Some(sealed) = sealed else { return Ok(String::new()) };
    Ok(opener.open(subject, field, sealed)?.unwrap_or_default())
}

/// The subjects of users, in their order; `None`: the userId was never used, or forgotten. The call must have caught up.
///
/// # Errors
/// The read models or the vault are unavailable.
pub(super) async fn subjects(call: &Call<'_>, ids: &[UserId]) -> Result<Vec<Option<SubjectRef>>, Fault> {
    Ok(call.engine.find_all(&call.app.id, ids).await?)
}

/// The userIds of a list; who was forgotten is left out.
///
/// # Errors
/// The read models or the vault are unavailable.
pub(super) async fn user_ids(call: &Call<'_>, subjects: &[SubjectRef]) -> Result<Vec<String>, Fault> {
    Ok(call.reader().user_ids(subjects).await?)
}

/// Opens the userId of a subject; `None`: the user was forgotten.
///
/// # Errors
/// The vault is unavailable.
pub(super) fn user_id(
    opener: &mut Opener<'_>,
    subject: SubjectRef,
    sealed: Option<&[u8]>,
) -> Result<Option<String>, Fault> {
    let Some(sealed) = sealed else { return Ok(None) };
    Ok(opener.open(subject, "user_id", sealed)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn form(body: &str) -> Form<'_> {
        Form::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_time_is_written_as_the_platform_does() {
        for seconds in [0, 1_795_420_824, 951_782_399, 253_402_300_799, -62_167_219_200] {
            let at = DateTime::from_timestamp(seconds, 999_999_999).unwrap();
            assert_eq!(time(at), at.format("%Y-%m-%d %H:%M:%S").to_string());
        }
    }

    #[test]
    fn a_page_token_comes_back_as_its_cursor_and_nothing_else_does() {
        for at in [0, 1, 4_711, u64::MAX] {
            let body = format!("pageToken={}", page_token(at));
            assert_eq!(cursor(&form(&body)).unwrap(), Some(at));
        }
        assert_eq!(cursor(&form("pageToken=")).unwrap(), None);
        for bad in ["CNgB", "%00", "AAAAAAAAAAA=", "AAAAAAAAAAAA"] {
            assert!(cursor(&form(&format!("pageToken={bad}"))).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_begins_at_one_and_one_that_would_skip_more_than_a_million_rows_is_refused() {
        let read = |body: &str| page(&form(body), ("page", "size"), (20, 100));
        assert_eq!(read("").unwrap(), NumberedPage::new(1, 20).unwrap());
        assert_eq!(read("page=3&size=100").unwrap(), NumberedPage::new(3, 100).unwrap());
        for last in ["page=50001", "page=10001&size=100", "page=1000001&size=1"] {
            assert!(read(last).is_ok(), "{last}");
        }
        for bad in ["page=0", "page=-1", "size=0", "size=101", "page=x", "page=50002", "size=100&page=10002"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("page=50002").unwrap_err().problem, Problem::OutOfRange { min: 1, max: 50_001 });
    }

    #[test]
    fn a_time_is_written_as_the_platform_writes_it() {
        assert_eq!(time(DateTime::from_timestamp(1_795_420_824, 0).unwrap()), "2026-11-23 08:00:24");
    }
}
