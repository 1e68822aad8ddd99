//! Remarks a user keeps about others, shown in pushes.

use std::collections::HashMap;

use rollcall_projections::{remarks, user_directory};
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Fault, OK};
use super::form::Form;
use super::{Call, convert};
use crate::domain::remarks::{Remark, Unremark};
use crate::domain::values::{Invalid, Problem, Remark as Text, UserId};

/// Remarks one call may set.
const REMARKS_MAX: usize = 100;

/// One remark as SDKs write it: the Go one with capital letters.
#[derive(Debug, Default, Deserialize)]
struct Given {
    #[serde(alias = "Id", default)]
    id: String,
    #[serde(alias = "Remark", default)]
    remark: String,
}

/// The remarks of a form: a JSON array in `remarks`, or `remarks[0][id]=…&remarks[0][remark]=…` as PHP writes it.
fn given(form: &Form<'_>) -> Result<Vec<Given>, Invalid> {
    if let Some(json) = form.text("remarks") {
        return serde_json::from_slice(json.as_bytes())
            .map_err(|_| Invalid::malformed("remarks", "a JSON array of objects {id, remark}"));
    }
    let (mut places, mut all) = (HashMap::new(), Vec::<Given>::new());
    for (key, value) in form.pairs().filter(|(key, _)| key.starts_with("remarks[")) {
        let Some((place, member)) = key.rsplit_once('[') else { continue };
        let at = *places.entry(place).or_insert_with(|| {
            all.push(Given::default());
            all.len() - 1
        });
        let Some(given) = all.get_mut(at) else { continue };
        match member {
            "id]" | "Id]" => value.clone_into(&mut given.id),
            "remark]" | "Remark]" => value.clone_into(&mut given.remark),
            _ => {}
        }
    }
    Ok(all)
}

fn parsed(form: &Form<'_>) -> Result<Vec<(UserId, Text)>, Invalid> {
    let given = given(form)?;
    if given.is_empty() {
        return Err(Invalid::missing("remarks"));
    }
    if given.len() > REMARKS_MAX {
        return Err(Invalid::new("remarks", Problem::TooMany { max: REMARKS_MAX }));
    }
    given.iter().map(|one| Ok((UserId::parse("id", &one.id)?, Text::parse(&one.remark)?))).collect()
}

/// `remarks/set`: set remarks about others.
pub(super) async fn remark(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let owner = form.user_id("userId")?;
    call.done(Remark { owner, remarks: parsed(&form)? }).await
}

/// `remarks/del`: take a remark away.
pub(super) async fn unremark(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let owner = form.user_id("userId")?;
    call.done(Unremark { owner, target: form.user_id("targetId")? }).await
}

#[derive(Serialize)]
struct Remarks {
    code: u16,
    total: u64,
    users: Vec<Remarked>,
}

#[derive(Serialize)]
struct Remarked {
    id: String,
    remark: String,
}

/// `remarks/get`: a page of the remarks of a user.
pub(super) async fn query_remarks(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let user_id = form.user_id("userId")?;
    let page = convert::page(&form, ("page", "size"), (50, 50))?;
    call.caught_up().await?;
    let (read, app) = (call.engine.read(), &call.app.id);
    let Some(owner) = call.engine.find(app, &user_id).await? else {
        return Answer::of(&Remarks { code: OK, total: 0, users: vec![] });
    };
    let rows = remarks::page(read, owner, page).await?;
    let targets: Vec<_> = rows.iter().map(|row| row.target).collect();
    let ids = user_directory::user_ids(read, app, &targets).await?;
    let users = call.disclose(&targets, |opener| {
        let mut users = Vec::with_capacity(rows.len());
        for (row, id) in rows.iter().zip(ids) {
            let Some(id) = convert::user_id(opener, row.target, id.as_deref())? else { continue };
            users.push(Remarked { id, remark: convert::opened(opener, row.target, "remark", Some(&row.remark))? });
        }
        Ok(users)
    });
    let users = users.await?;
    Answer::of(&Remarks { code: OK, total: remarks::total(read, owner).await?, users })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn remarks_are_read_as_go_php_and_the_documentation_write_them() {
        for body in [
            r#"remarks=[{"id":"a","remark":"x"},{"id":"b","remark":"y"}]"#,
            r#"remarks=[{"Id":"a","Remark":"x"},{"Id":"b","Remark":"y"}]"#,
            "remarks[0][id]=a&remarks[0][remark]=x&remarks[1][id]=b&remarks[1][remark]=y",
            "remarks%5B0%5D%5Bid%5D=a&remarks[1][id]=b&remarks[0][remark]=x&remarks[1][remark]=y",
        ] {
            let form = Form::parse(body.as_bytes()).unwrap();
            let read = parsed(&form).unwrap();
            let read: Vec<_> = read.iter().map(|(who, remark)| (who.as_str(), remark.as_str())).collect();
            assert_eq!(read, [("a", "x"), ("b", "y")], "{body}");
        }
        let one = Form::parse(b"remarks[id]=a&remarks[remark]=x").unwrap();
        assert_eq!(parsed(&one).unwrap().len(), 1);
    }

    #[test]
    fn missing_malformed_and_too_many_remarks_are_refused() {
        for body in ["", "remarks=", "remarks=[]", "remarks={}", "remarks=[1]", r#"remarks=[{"id":"a"}]"#] {
            assert!(parsed(&Form::parse(body.as_bytes()).unwrap()).is_err(), "{body}");
        }
        let many = vec![r#"{"id":"a","remark":"x"}"#; REMARKS_MAX + 1].join(",");
        let body = format!("remarks=[{many}]");
        let refused = parsed(&Form::parse(body.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(refused.problem, Problem::TooMany { max: REMARKS_MAX });
    }
}
