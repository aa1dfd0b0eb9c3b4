//! A part of a topic in one host after the other, held against what should come of it.

use super::*;
use crate::Message;
use proptest::prelude::*;

const TOPICS: [&str; 3] = ["a", "a.b", "c"];
const KEYS: [Option<&str>; 3] = [None, Some("k"), Some("l")];
const COVERED: &str = "a a.*";
const DEADLINE: u64 = 1000;

#[derive(Clone, Debug)]
enum Call {
    Publish(usize, usize),
    Read(usize),
    Take,
    Ack(usize),
    /// It could not be written.
    Fail(usize),
    Nack(usize, u64),
    Wait(u64),
    /// Everything is written, and another host gets the part.
    HandOver,
    /// What was written last is all that another host knows.
    Crash,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => (0..TOPICS.len(), 0..KEYS.len()).prop_map(|(topic, key)| Call::Publish(topic, key)),
        4 => (1_usize..8).prop_map(Call::Read),
        8 => Just(Call::Take),
        5 => (0_usize..4).prop_map(Call::Ack),
        1 => (0_usize..4).prop_map(Call::Fail),
        2 => (0_usize..4, 0_u64..3000).prop_map(|(nth, delay)| Call::Nack(nth, delay)),
        2 => (1_u64..1500).prop_map(Call::Wait),
        1 => Just(Call::HandOver),
        1 => Just(Call::Crash),
    ]
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    is_done: bool,
    attempts: u32,
    not_before: u64,
}

struct Run {
    now: u64,
    tokens: u64,
    log: Vec<(usize, usize)>,
    states: Vec<State>,
    /// The states when they were last written, and what was.
    kept: Vec<State>,
    written: (u64, String),
    part: Part,
    held: Vec<(u64, u64, u64)>,
    wake: Arc<Notify>,
    is_ordered: bool,
}

impl Run {
    fn new(is_ordered: bool) -> Self {
        let wake = Arc::default();
        let part = Part::fresh((7, COVERED.to_owned()), 0, (is_ordered, &wake));
        let (_, note) = part.unwritten(true).unwrap();
        Self {
            now: 1,
            tokens: 0,
            log: Vec::new(),
            states: Vec::new(),
            kept: Vec::new(),
            written: (0, note),
            part,
            held: Vec::new(),
            wake,
            is_ordered,
        }
    }

    fn write(&mut self) {
        if let Some((written, note)) = self.part.unwritten(false) {
            self.part.has_written(written);
            self.written = (written.offset, note);
        }
        self.kept.clone_from(&self.states);
    }

    /// Another host has it, which knows what was written.
    fn another(&mut self) {
        let (offset, note) = &self.written;
        let notes = Notes::read(note, *offset).unwrap();
        self.part = Part::new(notes, *offset, (self.is_ordered, &self.wake));
        self.held.clear();
        let kept = self.kept.len();
        self.states.truncate(kept);
        self.states.clone_from_slice(&self.kept);
        self.states.resize(self.log.len(), State::default());
    }

    fn read(&mut self, most: usize) {
        for _ in 0..most {
            let number = self.part.next();
            let Some((topic, key)) = self.log.get(usize::try_from(number).unwrap()) else { return };
            let key = KEYS[*key].map(str::to_owned);
            let message = Message { key, ..Message::new(number.to_string()) };
            let read = Read::Message { topic: TOPICS[*topic].to_owned(), message };
            assert_ne!(self.part.take_in(number, read, 0, "g"), Took::Anew);
        }
    }

    fn take(&mut self) -> Result<bool, String> {
        self.tokens += 1;
        let until = self.now + DEADLINE;
        let taken = self.part.take(self.now, (self.tokens, until)).unwrap();
        let Some(taken) = taken else { return Ok(false) };
        let number = taken.number;
        let at = usize::try_from(number).unwrap();
        let state = &mut self.states[at];
        if state.is_done || self.log[at].0 == 2 {
            return Err(format!("{number} came, which is done with or for others"));
        }
        if self.now < state.not_before {
            return Err(format!("{number} came at {}, before {}", self.now, state.not_before));
        }
        state.attempts += 1;
        if taken.attempt != state.attempts {
            return Err(format!("{number}: attempt {} is {}", taken.attempt, state.attempts));
        }
        state.not_before = until;
        if self.is_ordered && self.log[at].1 != 0 {
            let same = |(other, it): (usize, &(usize, usize))| {
                *it == self.log[at] && other < at && !self.states[other].is_done
            };
            if self.log.iter().enumerate().any(same) {
                return Err(format!("{number} came before one with its key"));
            }
        }
        self.held.push((number, self.tokens, until));
        Ok(true)
    }

    fn one(&mut self, call: &Call) -> Result<(), String> {
        let pick = |run: &mut Self, nth: usize| {
            let held = (nth < run.held.len()).then(|| run.held.swap_remove(nth))?;
            // Somebody else has it, or will.
            (held.2 > run.now).then_some(held)
        };
        match *call {
            Call::Publish(topic, key) => {
                self.log.push((topic, key));
                self.states.push(State::default());
            }
            Call::Read(most) => self.read(most),
            Call::Take => drop(self.take()?),
            Call::Ack(nth) => {
                let Some((number, token, _)) = pick(self, nth) else { return Ok(()) };
                assert!(self.part.begin_ack(number, token));
                self.states[usize::try_from(number).unwrap()].is_done = true;
                self.write();
                assert!(self.part.end_ack(number, token));
            }
            Call::Fail(nth) => {
                let Some((number, token, _)) = pick(self, nth) else { return Ok(()) };
                assert!(self.part.begin_ack(number, token));
                self.part.undo_ack(number, token, self.now);
                self.states[usize::try_from(number).unwrap()].not_before = self.now;
            }
            Call::Nack(nth, delay) => {
                let Some((number, token, _)) = pick(self, nth) else { return Ok(()) };
                assert!(self.part.nack(number, token, self.now, self.now + delay));
                self.states[usize::try_from(number).unwrap()].not_before = self.now + delay;
                self.write();
            }
            Call::Wait(time) => self.now += time,
            Call::HandOver => {
                self.write();
                self.another();
                self.all_is_ready();
            }
            Call::Crash => {
                self.another();
                self.all_is_ready();
            }
        }
        Ok(())
    }

    /// What was out comes again at once when its host is gone; what waits does not.
    fn all_is_ready(&mut self) {
        let (offset, note) = &self.written;
        let waits: BTreeMap<u64, u64> = Notes::read(note, *offset)
            .unwrap()
            .pending
            .into_iter()
            .map(|(number, row)| (number, row.until))
            .collect();
        for (number, state) in self.states.iter_mut().enumerate() {
            state.not_before = waits.get(&(number as u64)).copied().unwrap_or_default();
        }
    }

    /// In the end everything came that was for the group.
    fn end(&mut self) -> Result<(), String> {
        self.held.clear();
        for _ in 0..500 {
            self.now += 5000;
            self.read(1000);
            while self.take()? {
                self.one(&Call::Ack(self.held.len() - 1))?;
            }
        }
        let is_left = |(at, state): (usize, &State)| self.log[at].0 != 2 && !state.is_done;
        match self.states.iter().enumerate().position(is_left) {
            None => Ok(()),
            Some(at) => Err(format!("{at} never came")),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_part_is_handed_out_as_it_should_be_by_one_host_after_the_other(
        calls in prop::collection::vec(call(), 1..150),
        is_ordered in any::<bool>(),
    ) {
        let mut run = Run::new(is_ordered);
        for (at, call) in calls.iter().enumerate() {
            run.one(call).map_err(|wrong| TestCaseError::fail(format!("{at} {call:?}: {wrong}")))?;
        }
        run.end().map_err(TestCaseError::fail)?;
    }
}

#[test]
fn topics_change_where_it_is_said() {
    let wake = Arc::default();
    let mut part = Part::fresh((7, "a".to_owned()), 0, (false, &wake));
    let message =
        |topic: &str| Read::Message { topic: topic.to_owned(), message: Message::new(&b"1"[..]) };
    let covers = |incarnation, topics: &str| Read::Control {
        group: "g".to_owned(),
        said: Control::Covers { incarnation, topics: topics.to_owned() },
    };
    let mut numbers = 0..;
    let mut take_in = |part: &mut Part, read| part.take_in(numbers.next().unwrap(), read, 0, "g");
    assert_eq!(take_in(&mut part, message("b")), Took::Nothing);
    assert_eq!(take_in(&mut part, message("a")), Took::Message);
    // Of a group that had the name before.
    assert_eq!(take_in(&mut part, covers(6, "b")), Took::Nothing);
    assert_eq!(take_in(&mut part, message("a")), Took::Message);
    assert_eq!(take_in(&mut part, covers(7, "b")), Took::Nothing);
    assert_eq!(take_in(&mut part, message("a")), Took::Nothing);
    assert_eq!(take_in(&mut part, message("b")), Took::Message);
    let (written, note) = part.unwritten(true).unwrap();
    let notes = Notes::read(&note, written.offset).unwrap();
    assert_eq!((written.offset, notes.topics.as_str()), (1, "b"));
    let forgotten =
        Read::Control { group: "g".to_owned(), said: Control::Forgotten { incarnation: 7 } };
    assert_eq!(take_in(&mut part, forgotten), Took::Forgotten);
    assert_eq!(part.take_in(3, message("b"), 0, "g"), Took::Anew);
}

#[test]
fn a_part_goes_no_further_than_its_notes_can_say() {
    let wake = Arc::default();
    let mut part = Part::fresh((7, ">".to_owned()), 0, (false, &wake));
    for number in 0..400 {
        let message = Message::new(number.to_string());
        part.take_in(number, Read::Message { topic: "a".to_owned(), message }, 0, "g");
    }
    let taken = (1..).take_while(|token| part.take(1, (*token, 5)).unwrap().is_some()).count();
    assert_eq!(taken, PENDING);
    assert!(part.begin_ack(0, 1) && part.end_ack(0, 1));
    assert!(part.take(1, (1000, 5)).unwrap().is_some());
}
