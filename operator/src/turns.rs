//! A fair queue: many parties that want a part of a limited capacity in, turns out.
//!
//! A party belongs to a group. Groups take turns, and so do the parties of a group, so a party that asks often waits for
//! itself and not the others. Each party and each group may hold a part of the capacity only, and may have so many
//! requests waiting; what comes beyond that is refused at once.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What is shared out, and how much of it anybody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units that may be held at the same time, by all together.
    pub capacity: usize,
    /// Units that one group may hold.
    pub per_group: usize,
    /// Units that one party may hold.
    pub per_party: usize,
    /// Requests of one party that may wait.
    pub waiting_per_party: usize,
    /// Requests of one group that may wait.
    pub waiting_per_group: usize,
    /// Requests of all that may wait.
    pub waiting: usize,
}

/// Whose request it is: a group, and a party of it.
pub type Party = (String, String);

/// The request was refused: too many of the same party, of its group or of all wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait already")]
pub struct Crowded;

/// A queue. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Turns(Arc<Queue>);

struct Queue {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: usize,
    by_group: BTreeMap<String, usize>,
    by_party: BTreeMap<Party, usize>,
    waiting: BTreeMap<String, Group>,
    last_group: String,
}

#[derive(Default)]
struct Group {
    parties: BTreeMap<String, VecDeque<Waiting>>,
    last_party: String,
}

struct Waiting {
    units: usize,
    sender: oneshot::Sender<Turn>,
}

/// Units that are held until this is dropped.
pub struct Turn {
    /// Taken away from a turn that nobody waited for any more.
    queue: Option<Arc<Queue>>,
    party: Party,
    units: usize,
}

impl Turns {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Queue { limits, state: Mutex::default() }))
    }

    /// Waits for a turn of so many units, at least one and at most what the party may hold. A future that is dropped
    /// gives up its place.
    ///
    /// # Errors
    /// When too many requests wait already.
    pub async fn turn(&self, party: &Party, units: usize) -> Result<Turn, Crowded> {
        let limits = self.0.limits;
        let most = limits.per_party.min(limits.per_group).min(limits.capacity);
        let (sender, turn) = oneshot::channel();
        {
            let mut state = self.0.lock();
            if state.is_crowded(party, limits) {
                state.forget_abandoned();
                if state.is_crowded(party, limits) {
                    return Err(Crowded);
                }
            }
            let waiting = Waiting { units: units.clamp(1, most.max(1)), sender };
            let group = state.waiting.entry(party.0.clone()).or_default();
            group.parties.entry(party.1.clone()).or_default().push_back(waiting);
            self.0.hand_out(&mut state);
        }
        // The sender is in the queue, which this clone keeps.
        turn.await.map_err(|_| Crowded)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives turns to those who wait, as long as something is left that fits.
    fn hand_out(self: &Arc<Self>, state: &mut State) {
        while let Some((party, waiting)) = state.next(self.limits) {
            state.hold(&party, waiting.units);
            let turn = Turn { queue: Some(Arc::clone(self)), party, units: waiting.units };
            if let Err(mut turn) = waiting.sender.send(turn) {
                // Nobody waits for it any more. The lock is held, so it must not give itself back.
                turn.queue = None;
                state.give_back(&turn.party, turn.units);
            }
        }
    }
}

impl State {
    /// The next request that fits, taken out of the queue.
    fn next(&mut self, limits: Limits) -> Option<(Party, Waiting)> {
        let mut found = None;
        'groups: for (name, group) in after(&self.waiting, &self.last_group) {
            let of_group = self.by_group.get(name).copied().unwrap_or_default();
            for (party, queue) in after(&group.parties, &group.last_party) {
                let key = (name.clone(), party.clone());
                let of_party = self.by_party.get(&key).copied().unwrap_or_default();
                if of_party >= limits.per_party {
                    continue;
                }
                let fits = |waiting: &Waiting| {
                    self.held.saturating_add(waiting.units) <= limits.capacity
                        && of_group.saturating_add(waiting.units) <= limits.per_group
                        && of_party.saturating_add(waiting.units) <= limits.per_party
                };
                if let Some(place) = queue.iter().position(fits) {
                    found = Some((key, place));
                    break 'groups;
                }
            }
        }
        let (key, place) = found?;
        let group = self.waiting.get_mut(&key.0)?;
        let queue = group.parties.get_mut(&key.1)?;
        let waiting = queue.remove(place)?;
        if queue.is_empty() {
            group.parties.remove(&key.1);
        }
        group.last_party.clone_from(&key.1);
        if group.parties.is_empty() {
            self.waiting.remove(&key.0);
        }
        self.last_group.clone_from(&key.0);
        Some((key, waiting))
    }

    fn hold(&mut self, party: &Party, units: usize) {
        self.held = self.held.saturating_add(units);
        for held in [
            self.by_group.entry(party.0.clone()).or_default(),
            self.by_party.entry(party.clone()).or_default(),
        ] {
            *held = held.saturating_add(units);
        }
    }

    fn give_back(&mut self, party: &Party, units: usize) {
        self.held = self.held.saturating_sub(units);
        take(&mut self.by_group, &party.0, units);
        take(&mut self.by_party, party, units);
    }

    fn is_crowded(&self, party: &Party, limits: Limits) -> bool {
        let group = self.waiting.get(&party.0);
        let of_party = group.and_then(|group| group.parties.get(&party.1)).map_or(0, VecDeque::len);
        let of_group = group.map_or(0, Group::len);
        let of_all: usize = self.waiting.values().map(Group::len).sum();
        of_party >= limits.waiting_per_party
            || of_group >= limits.waiting_per_group
            || of_all >= limits.waiting
    }

    fn forget_abandoned(&mut self) {
        self.waiting.retain(|_, group| {
            group.parties.retain(|_, queue| {
                queue.retain(|waiting| !waiting.sender.is_closed());
                !queue.is_empty()
            });
            !group.parties.is_empty()
        });
    }
}

impl Group {
    fn len(&self) -> usize {
        self.parties.values().map(VecDeque::len).sum()
    }
}

/// All entries, beginning behind a key.
fn after<'a, V>(map: &'a BTreeMap<String, V>, last: &str) -> impl Iterator<Item = (&'a String, &'a V)> {
    let behind = map.range::<str, _>((Bound::Excluded(last), Bound::Unbounded));
    behind.chain(map.range::<str, _>((Bound::Unbounded, Bound::Included(last))))
}

fn take<K: Ord>(map: &mut BTreeMap<K, usize>, key: &K, units: usize) {
    if let Some(held) = map.get_mut(key) {
        *held = held.saturating_sub(units);
        if *held == 0 {
            map.remove(key);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            let mut state = queue.lock();
            state.give_back(&self.party, self.units);
            queue.hand_out(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LIMITS: Limits = Limits {
        capacity: 2,
        per_group: 2,
        per_party: 1,
        waiting_per_party: 3,
        waiting_per_group: 5,
        waiting: 6,
    };

    fn party(group: &str, name: &str) -> Party {
        (group.to_owned(), name.to_owned())
    }

    #[tokio::test]
    async fn a_party_that_asks_often_waits_for_itself_and_not_the_others() {
        let turns = Turns::new(LIMITS);
        let (loud, quiet) = (party("", "loud"), party("", "quiet"));
        let first = turns.turn(&loud, 1).await.unwrap();
        let mut second = Box::pin(turns.turn(&loud, 1));
        assert!((&mut second).now_or_never().is_none(), "a party holds its part only");
        let other = turns.turn(&quiet, 1).now_or_never().expect("the rest is for others").unwrap();
        drop(first);
        let second = second.now_or_never().expect("its own turn is over").unwrap();
        drop((second, other));
        assert_eq!(turns.0.lock().held, 0);
    }

    #[tokio::test]
    async fn groups_take_turns_and_so_do_their_parties() {
        let turns = Turns::new(Limits { capacity: 1, ..LIMITS });
        let held = turns.turn(&party("z", "z"), 1).await.unwrap();
        let names = [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")];
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for (group, name) in names {
            let (turns, sender) = (turns.clone(), sender.clone());
            let mut waits = Box::pin(async move {
                let turn = turns.turn(&party(group, name), 1).await.unwrap();
                sender.send(format!("{group}{name}")).unwrap();
                drop(turn);
            });
            assert!((&mut waits).now_or_never().is_none());
            tasks.push(waits);
        }
        drop((held, sender));
        futures::future::join_all(tasks).await;
        let mut seen = Vec::new();
        while let Some(name) = order.recv().await {
            seen.push(name);
        }
        assert_eq!(seen.len(), names.len());
        let place = |name: &str| seen.iter().position(|one| one == name).unwrap();
        let last = seen.iter().rposition(|one| one == "a1").unwrap();
        assert!(place("b1") < last && place("a2") < last, "{seen:?}");
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused_and_what_was_abandoned_does_not_count() {
        let turns = Turns::new(LIMITS);
        let loud = party("g", "loud");
        let held = turns.turn(&loud, 1).await.unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(turns.turn(&loud, 1))).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        assert_eq!(turns.turn(&loud, 1).await.err(), Some(Crowded));
        waiting.pop();
        let mut again = Box::pin(turns.turn(&loud, 1));
        assert!((&mut again).now_or_never().is_none(), "its place was free");
        drop((waiting, again, held));
        drop(turns.turn(&loud, 1).now_or_never().expect("nobody else waits").unwrap());
        assert_eq!(turns.0.lock().held, 0);
    }

    #[tokio::test]
    async fn what_is_small_passes_what_does_not_fit() {
        let turns = Turns::new(Limits { capacity: 10, per_group: 10, per_party: 10, ..LIMITS });
        let one = party("g", "one");
        let held = turns.turn(&one, 8).await.unwrap();
        let mut large = Box::pin(turns.turn(&one, 8));
        assert!((&mut large).now_or_never().is_none());
        let small = turns.turn(&one, 2).now_or_never().expect("it fits").unwrap();
        drop((held, small));
        assert!(large.now_or_never().is_some());
    }
}
