//! Online status.

use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault, OK};

#[derive(Serialize)]
struct Status {
    code: u16,
    status: &'static str,
}

/// `checkOnline`: "1" while a client of the user is connected to any node, else "0", also for a user nobody knows.
pub(super) async fn check_online(call: &Call<'_>) -> Result<Answer, Fault> {
    let user_id = call.form()?.user_id("userId")?;
    let is_online = call.live.is_online(&call.app.id, &user_id).await?;
    Answer::of(&Status { code: OK, status: if is_online { "1" } else { "0" } })
}
