//! A text that comes in pieces, such as a model's answer, in; the parts of it that may leave, each decided on, out.
//!
//! A part is decided by all that has come so far: the rules see the text from its beginning, so counts and context are
//! those of the whole. It leaves only once what follows it can hardly change it any more, since
//!
//! - [`HOLD_BYTES`] behind its end have been inspected as well, which is more than any value with its context has that
//!   fits on a line;
//! - it ends behind white space, within no finding, and before any `-----BEGIN` whose `-----END` has not come.
//!
//! Whatever has not been inspected is held back. So is what offers no such end, up to [`MAX_HELD_BYTES`]; more of it
//! counts as text that cannot be inspected, and the strictest `failureMode` decides. Once a rule withholds or refuses
//! the text nothing more leaves; what left before stays what it was. If a later finding reaches into a part that has
//! left, since its value or its context is longer than what is held back, it is counted ([`Part::late`]).
//!
//! The whole text is inspected again each time, but only after it has grown by an eighth (and [`STEP_BYTES`]): in all
//! that costs no more than nine times its length.

use std::ops::Range;

use novacrm_crds::compliance_policy::ActionType;

use super::decide::{edits, judge};
use super::{Context, Decision, Keys, Request, Secrets, Uninspected, uninspected};
use crate::bundle::CompiledBundle;
use crate::policy::lattice::Effect;
use crate::transform::{Edit, Restorer, Segment, Tokens, apply_to};
use crate::{Finding, Span};

/// Bytes behind a part that have been inspected before it leaves.
pub const HOLD_BYTES: usize = 512;
/// Bytes that come at least before the text is inspected again.
pub const STEP_BYTES: usize = 256;
/// Most bytes that are held back for want of a place to end a part.
pub const MAX_HELD_BYTES: usize = 16 * 1024;

/// A text on its way.
#[derive(Debug)]
pub struct Stream {
    arrived: Arrived,
    restorer: Option<Restorer>,
    /// What was replaced in what has left, in order.
    replaced: Vec<Span>,
    is_over: bool,
}

/// What has come of a text, and how much of it has left.
#[derive(Clone, Debug)]
pub struct Arrived {
    text: String,
    /// The most bytes it may have.
    limit: usize,
    /// Bytes that have left.
    left: usize,
    /// The same in code points.
    left_points: usize,
    /// Bytes that have been inspected.
    inspected: usize,
}

/// What was decided on all that had come.
#[derive(Debug)]
pub struct Inspected {
    decision: Decision,
    effects: Vec<Effect>,
    tokens: Tokens,
    /// Bytes of what was held back that may leave.
    end: usize,
    /// Bytes of all that had come.
    all: usize,
}

/// A part of a text that was decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What is decided on all of the text so far; `output` and `tokens` are those of this part alone, and `output` is
    /// absent when nothing leaves for now, or any more.
    pub decision: Decision,
    /// Where the part lies in the text as it came.
    pub span: Span,
    /// Which findings of the decision lie in it.
    pub findings: Range<usize>,
    /// Findings to be replaced that reach into parts that had left.
    pub late: usize,
}

/// The text is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is too long to be inspected")]
pub struct TooLong;

impl Stream {
    /// A text of at most `limit` bytes, of which nothing has come yet. What tokens in the text as it comes stand for is
    /// put back with a restorer; what is tokenized on the way stays tokenized.
    #[must_use]
    pub fn new(limit: usize, restorer: Option<Restorer>) -> Self {
        let arrived = Arrived { text: String::new(), limit, left: 0, left_points: 0, inspected: 0 };
        Self { arrived, restorer, replaced: Vec::new(), is_over: false }
    }

    /// Takes a piece. Nothing of it leaves before it was inspected.
    ///
    /// # Errors
    /// When the text gets too long; then nothing of the piece is taken.
    pub fn push(&mut self, piece: &str) -> Result<(), TooLong> {
        if self.arrived.text.len() + piece.len() > self.arrived.limit {
            return Err(TooLong);
        }
        self.arrived.text.push_str(piece);
        Ok(())
    }

    /// Whether enough has come that a part may leave.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let Arrived { text, inspected, .. } = &self.arrived;
        let grown = text.len() - inspected;
        !self.is_over && self.held() > HOLD_BYTES && grown >= STEP_BYTES && grown >= inspected / 8
    }

    /// Whether nothing more can leave.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.arrived.text.len() - self.arrived.left
    }

    /// What has come, to be inspected.
    #[must_use]
    pub fn arrived(&self) -> &Arrived {
        &self.arrived
    }

    /// What puts tokens back, when something does.
    #[must_use]
    pub fn restorer(&self) -> Option<&Restorer> {
        self.restorer.as_ref()
    }

    /// Lets leave what may, by an inspection of what has come; `is_last` when nothing follows. What has come since waits
    /// for the next one.
    pub fn release(&mut self, inspected: Inspected, is_last: bool) -> Part {
        let Inspected { mut decision, effects, tokens, end, all } = inspected;
        let start = self.arrived.left_points;
        self.arrived.inspected = all;
        let late = self.late(&decision);
        let first = decision.findings.partition_point(|one| one.finding.span.start < start);
        if decision.action >= ActionType::RequireApproval {
            self.is_over = true;
            return Part { decision, span: Span { start, end: start }, findings: first..first, late };
        }
        let held = self.arrived.text.get(self.arrived.left..).unwrap_or_default();
        let part = held.get(..end).unwrap_or_default();
        let span = Span { start, end: start + part.chars().count() };
        let last = decision.findings.partition_point(|one| one.finding.span.start < span.end);
        if !part.is_empty() || is_last {
            let all = edits(&decision.findings, &effects);
            let here: Vec<(Span, Edit<'_>)> = all
                .iter()
                .filter(|(one, _)| one.start < span.end && one.end > span.start)
                .map(|(one, edit)| {
                    (Span { start: one.start.max(start) - start, end: one.end.min(span.end) - start }, *edit)
                })
                .collect();
            let mut out = String::with_capacity(part.len());
            let restorer = &mut self.restorer;
            let listed = apply_to(part, &here, &tokens, |segment| match (segment, restorer.as_mut()) {
                (Segment::Kept(kept), None) => out.push_str(kept),
                (Segment::Kept(kept), Some(restorer)) => out.push_str(&restorer.push(kept)),
                (Segment::Put(put), None) => out.push_str(&put),
                (Segment::Put(put), Some(restorer)) => out.push_str(&restorer.pass(&put)),
            });
            if is_last && let Some(restorer) = restorer {
                out.push_str(&restorer.finish());
            }
            self.replaced
                .extend(here.iter().map(|(one, _)| Span { start: one.start + start, end: one.end + start }));
            decision.tokens = listed;
            decision.output = Some(out);
        }
        self.arrived.left += end;
        self.arrived.left_points = span.end;
        self.is_over = is_last;
        Part { decision, span, findings: first..last, late }
    }

    /// Decides on what is held back without an inspection, as [`uninspected`] does: all of it leaves, or nothing more.
    pub fn give_up(
        &mut self,
        bundle: &CompiledBundle,
        request: &Request<'_>,
        why: Uninspected,
        is_last: bool,
    ) -> Part {
        let held = self.arrived.text.get(self.arrived.left..).unwrap_or_default();
        let mut decision = uninspected(bundle, &Request { text: held, ..*request }, why);
        let start = self.arrived.left_points;
        let mut span = Span { start, end: start };
        if decision.output.is_some() {
            if let Some(restorer) = &mut self.restorer {
                let mut out = restorer.push(held);
                if is_last {
                    out.push_str(&restorer.finish());
                }
                decision.output = Some(out);
            }
            span.end += held.chars().count();
            self.arrived.left = self.arrived.text.len();
            self.arrived.left_points = span.end;
            self.arrived.inspected = self.arrived.text.len();
            self.is_over = is_last;
        } else {
            self.is_over = true;
        }
        Part { decision, span, findings: 0..0, late: 0 }
    }

    /// How many findings that are to be replaced lie in what has left and were not.
    fn late(&self, decision: &Decision) -> usize {
        let mut covered: Vec<Span> = self.replaced.clone();
        covered.sort_unstable();
        let mut merged: Vec<Span> = Vec::new();
        for span in covered {
            match merged.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        let is_late = |span: Span| {
            let end = span.end.min(self.arrived.left_points);
            let next = merged.partition_point(|one| one.end < end);
            span.start < end && merged.get(next).is_none_or(|one| one.start > span.start)
        };
        let replaced = decision.findings.iter().filter(|one| one.action >= ActionType::Mask);
        replaced.filter(|one| is_late(one.finding.span)).count()
    }
}

impl Arrived {
    /// All that has come.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Decides on what has come and on how much of it may leave; `is_last` when nothing follows. The request's text is
    /// not looked at. `failure` says why the rules cannot be relied on alone, when they cannot.
    #[must_use]
    pub fn inspect(
        &self,
        bundle: &CompiledBundle,
        request: &Request<'_>,
        keys: &Keys,
        is_last: bool,
        failure: Option<Uninspected>,
    ) -> Inspected {
        let request = Request { text: &self.text, ..*request };
        let context = Context::of(bundle, &request);
        let secrets = Secrets::of(keys, &request);
        let judge = |failure: Option<Uninspected>| {
            let failure = failure.map(|why| (why, bundle.failure_mode()));
            judge(bundle.compiled_policies(), &context, Some(&secrets), failure)
        };
        let (mut decision, mut effects) = judge(failure);
        let mut end = self.end(&decision, is_last, char::is_whitespace);
        if end == 0 && self.text.len() - self.left > MAX_HELD_BYTES {
            (decision, effects) = judge(Some(failure.unwrap_or(Uninspected::TooLarge)));
            end = self.end(&decision, is_last, |_| true);
        }
        Inspected { decision, effects, tokens: secrets.tokens, end, all: self.text.len() }
    }

    /// How many bytes of what is held back may leave: up to the last character after which a part may end.
    fn end(&self, decision: &Decision, is_last: bool, ends: fn(char) -> bool) -> usize {
        let held = self.text.get(self.left..).unwrap_or_default();
        if is_last {
            return held.len();
        }
        let mut limit = held.len().saturating_sub(HOLD_BYTES);
        if let Some(open) = open_block(held) {
            limit = limit.min(open);
        }
        // How many findings begin and end between each code point and the next: within one no part ends.
        let mut within = vec![0_i32; held.len() + 2];
        for Finding { span, .. } in decision.findings.iter().map(|one| &one.finding) {
            let place = |point: usize| point.saturating_sub(self.left_points).min(held.len() + 1);
            if span.end > self.left_points && span.end > span.start + 1 {
                for (at, change) in [(place(span.start + 1), 1), (place(span.end), -1)] {
                    if let Some(count) = within.get_mut(at) {
                        *count += change;
                    }
                }
            }
        }
        let (mut end, mut depth) = (0, within.first().copied().unwrap_or_default());
        for (point, (at, c)) in held.char_indices().enumerate() {
            depth += within.get(point + 1).copied().unwrap_or_default();
            let behind = at + c.len_utf8();
            if behind > limit {
                break;
            }
            if depth == 0 && (ends(c) || is_ideographic_stop(c)) {
                end = behind;
            }
        }
        end
    }
}

/// Where a block begins (RFC 7468) whose end has not come.
fn open_block(text: &str) -> Option<usize> {
    let begin = text.rfind("-----BEGIN ")?;
    text.get(begin..).is_some_and(|rest| !rest.contains("-----END ")).then_some(begin)
}

/// What ends sentences where no white space does.
fn is_ideographic_stop(c: char) -> bool {
    matches!(c, '。' | '、' | '！' | '，' | '？')
}

#[cfg(test)]
mod tests;
