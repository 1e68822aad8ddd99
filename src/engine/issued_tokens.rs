//! Which access tokens a user was issued: read from the stream of its tokens.
//!
//! No read model keeps them: a row for each login would be the dearest part of it (docs/decisions/0007), and they are asked for
//! rarely. The stream of one user is short, and is read from its end.

use std::collections::HashMap;

use rollcall_schemas::Event;
use rollcall_schemas::ids::{SubjectRef, TokenId};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::token::{self, Issued};

use super::{Engine, Error, journal};
use crate::domain::{IssuedToken, TokenTimes};
use crate::eventlog::RawEvent;

/// Most events of one read.
const PAGE_MAX: usize = 500;
/// Most reads for one page of tokens: more, and the page is shorter than was asked for.
const READS_MAX: usize = 8;

/// A token that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedBefore {
    /// Place of the event in the stream of the user's tokens, from 1.
    pub revision: u64,
    /// What was recorded of it.
    pub issued: IssuedToken,
    /// Its label, sealed; `None`: it has none, or it was erased.
    pub label: Option<Vec<u8>>,
}

/// Some tokens, the newest first.
#[derive(Debug, Default)]
pub struct IssuedPage {
    /// The tokens.
    pub tokens: Vec<IssuedBefore>,
    /// Behind which revision the next page begins; `None`: there is none.
    pub next: Option<u64>,
}

/// Reads the stream of a user's tokens from its end.
struct Backwards<'e> {
    engine: &'e Engine,
    stream: String,
    before: u64,
}

impl Backwards<'_> {
    /// The events before those of the last call, the newest first; empty: there are none.
    async fn page(&mut self) -> Result<Vec<RawEvent>, Error> {
        if self.before <= 1 {
            return Ok(vec![]);
        }
        let mut page = self.engine.log.read_stream_back(&self.stream, self.before, PAGE_MAX).await?;
        self.before = page.first().map_or(0, |first| first.revision);
        page.reverse();
        Ok(page)
    }
}

/// The token that an event says was issued; `None`: it says something else.
fn issued(event: &Event) -> Option<IssuedToken> {
    match event {
        Event::Token(token::Event::Issued(issued)) => Some(issued.into()),
        Event::Token(token::Event::IssuedV2(issued)) => Some(issued.into()),
        _ => None,
    }
}

impl Engine {
    fn tokens_backwards(&self, subject: SubjectRef, before: u64) -> Backwards<'_> {
        Backwards { engine: self, stream: Stream::Token(subject).to_string(), before }
    }

    /// At most `limit` tokens (from 1) of a subject, the newest first, from before a revision of the stream of its tokens.
    ///
    /// # Errors
    /// The log is unavailable.
    pub async fn issued_tokens(
        &self,
        subject: SubjectRef,
        before: Option<u64>,
        limit: usize,
    ) -> Result<IssuedPage, Error> {
        let (mut page, mut labels) = (IssuedPage::default(), HashMap::new());
        let mut backwards = self.tokens_backwards(subject, before.unwrap_or(u64::MAX));
        for _ in 0..READS_MAX {
            let events = backwards.page().await?;
            if events.is_empty() {
                return Ok(page);
            }
            for raw in events {
                let recorded = journal::decode(&raw)?;
                let issued = match &recorded.event {
                    // A label follows the token it is of, and is read before it.
                    Event::Token(token::Event::Labelled(e)) => {
                        labels.insert(e.token, (raw.revision, recorded.stored("label", &e.label)));
                        continue;
                    }
                    event => issued(event),
                };
                let Some(issued) = issued else { continue };
                if page.tokens.len() == limit {
                    page.next = page.tokens.last().map(|last| last.revision);
                    return Ok(page);
                }
                let label = labels.remove(&issued.token).and_then(|(_, label)| label);
                page.tokens.push(IssuedBefore { revision: raw.revision, issued, label });
            }
        }
        // Where the first event that was read is a label, its token stands before it, and the next page reads both.
        let is_split = labels.values().any(|(revision, _)| *revision == backwards.before);
        page.next = Some(backwards.before + u64::from(is_split)).filter(|before| *before > 1);
        Ok(page)
    }

    /// When a token of a subject was issued and ends; `None`: it never had one of that id.
    pub(super) async fn times_of_token(
        &self,
        subject: SubjectRef,
        token: TokenId,
    ) -> Result<Option<TokenTimes>, Error> {
        let mut backwards = self.tokens_backwards(subject, u64::MAX);
        loop {
            let events = backwards.page().await?;
            if events.is_empty() {
                return Ok(None);
            }
            for raw in events.iter().filter(|raw| raw.name == Issued::DECLARATION.name) {
                if let Some(issued) = issued(&journal::decode(raw)?.event)
                    && issued.token == token
                {
                    return Ok(Some(TokenTimes { issued_at: issued.issued_at, expires_at: issued.expires_at }));
                }
            }
        }
    }
}
