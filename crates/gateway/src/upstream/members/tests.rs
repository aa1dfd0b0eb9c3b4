//! Who is chosen, and who is not.

use super::*;
use crate::upstream::ring;
use crate::upstream::settings::{Check, HashOn, Outlier, Place, Settings};
use crate::upstream::tests::settings;
use http::client::Network;
use std::collections::HashMap;
use std::time::Duration;

fn members(settings: &Settings, count: u8) -> Members {
    let network = Arc::new(Network::new(16));
    let endpoints = (1..=count).map(|number| {
        let place = Place { https: false, host: format!("127.0.0.{number}"), port: 80 };
        let address = place.address().unwrap();
        Arc::new(Endpoint::new(settings, &network, &place, address).unwrap())
    });
    Members::new(endpoints.collect(), &settings.balance)
}

/// Chooses so often; returns how often each was chosen.
fn choose(members: &Members, balance: &Balance, times: usize) -> HashMap<usize, usize> {
    let mut chosen = HashMap::new();
    for turn in 0..times {
        let hash = Some(ring::hash(&turn.to_be_bytes()));
        let choice = Choice { balance, turn, hash };
        *chosen.entry(members.choose(&choice, &[]).unwrap()).or_default() += 1;
    }
    chosen
}

fn balances() -> [Balance; 3] {
    [Balance::RoundRobin, Balance::LeastRequest, Balance::RingHash(HashOn::Path)]
}

fn make_ill(endpoint: &Endpoint) {
    let second = Duration::from_secs(1);
    let (healthy, unhealthy) = (1, 1);
    let rule = Check { path: None, interval: second, timeout: second, healthy, unhealthy };
    assert!(endpoint.verdict.note(false, &rule));
}

fn eject(endpoint: &Endpoint) {
    let second = Duration::from_secs(60);
    let rule = Outlier { failures: 1, time: second, max_time: second, max_ejected: 100 };
    assert!(endpoint.record.failed(&rule, Instant::now(), || true).is_some());
}

#[test]
fn everybody_is_chosen_and_in_turn_equally_often() {
    for balance in balances() {
        let members = members(&settings(balance.clone()), 4);
        let chosen = choose(&members, &balance, 400);
        assert_eq!(chosen.len(), 4, "{balance:?}: {chosen:?}");
        if balance == Balance::RoundRobin {
            assert!(chosen.values().all(|times| *times == 100), "{chosen:?}");
        }
    }
}

#[test]
fn who_is_ill_or_left_alone_is_passed_over() {
    for balance in balances() {
        let members = members(&settings(balance.clone()), 4);
        make_ill(&members.endpoints[0]);
        eject(&members.endpoints[2]);
        let chosen = choose(&members, &balance, 400);
        assert!(chosen.keys().all(|at| [1, 3].contains(at)), "{balance:?}: {chosen:?}");
        assert_eq!((chosen.len(), members.out(Instant::now())), (2, 1));
    }
}

#[test]
fn who_was_left_alone_is_better_than_nobody_and_who_is_ill_is_not() {
    for balance in balances() {
        let members = members(&settings(balance.clone()), 2);
        members.endpoints.iter().for_each(|one| eject(one));
        assert_eq!(choose(&members, &balance, 100).len(), 2);
        members.endpoints.iter().for_each(|one| make_ill(one));
        let choice = Choice { balance: &balance, turn: 0, hash: Some(1) };
        assert_eq!(members.choose(&choice, &[]), None);
    }
}

#[test]
fn who_was_tried_is_asked_again_only_where_there_is_nobody_else() {
    for balance in balances() {
        let members = members(&settings(balance.clone()), 2);
        for turn in 0..50 {
            let choice = Choice { balance: &balance, turn, hash: Some((turn as u64) << 56) };
            let tried = [Arc::clone(&members.endpoints[1])];
            assert_eq!(members.choose(&choice, &tried), Some(0), "{balance:?}");
            assert!(members.choose(&choice, &members.endpoints).is_some());
        }
    }
}

#[test]
fn of_two_the_less_busy_is_chosen() {
    let balance = Balance::LeastRequest;
    let members = members(&settings(balance.clone()), 2);
    let busy: Vec<_> = (0..3).map(|_| members.endpoints[0].begin()).collect();
    assert_eq!(choose(&members, &balance, 100), HashMap::from([(1, 100)]));
    drop(busy);
    assert_eq!(choose(&members, &balance, 200).len(), 2);
}

#[test]
fn a_ring_without_a_key_takes_turns() {
    let balance = Balance::RingHash(HashOn::Path);
    let members = members(&settings(balance.clone()), 3);
    let choice = |turn| Choice { balance: &balance, turn, hash: None };
    let chosen: Vec<_> = (0..6).map(|turn| members.choose(&choice(turn), &[]).unwrap()).collect();
    assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn nobody_is_chosen_of_none() {
    for balance in balances() {
        let choice = Choice { balance: &balance, turn: 0, hash: Some(1) };
        assert_eq!(Members::default().choose(&choice, &[]), None);
    }
}
