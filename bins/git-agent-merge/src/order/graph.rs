//! The largest set without two that conflict, and with all that its members need.

use std::collections::BTreeSet;

/// Of so many that hang together the best is looked for among all sets.
const EXACT: usize = 128;

/// After so many steps the best that was found has to do.
const STEPS: usize = 500_000;

/// Who conflicts with whom, and who needs whom, by their places.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) conflicts: Vec<Vec<usize>>,
    pub(crate) needs: Vec<Vec<usize>>,
    /// Who can be a member at all.
    pub(crate) allowed: Vec<bool>,
    /// Of two sets of one size, the higher.
    pub(crate) priorities: Vec<i64>,
}

/// A set, and whether it is sure that none is larger.
#[derive(Debug)]
pub(crate) struct Largest {
    pub(crate) members: Vec<bool>,
    pub(crate) is_exact: bool,
}

/// Finds it, for each group that hangs together by itself.
pub(crate) fn largest(graph: &Graph) -> Largest {
    let mut all = Largest { members: vec![false; graph.allowed.len()], is_exact: true };
    for group in groups(graph) {
        let (found, is_exact) = match group.len() {
            ..=EXACT => search(graph, &group),
            _ => (greedy(graph, &group), false),
        };
        found.into_iter().for_each(|at| all.members[at] = true);
        all.is_exact &= is_exact;
    }
    all
}

fn groups(graph: &Graph) -> Vec<Vec<usize>> {
    let count = graph.allowed.len();
    let mut near = vec![Vec::new(); count];
    for (at, others) in graph.conflicts.iter().zip(&graph.needs).enumerate() {
        for other in others.0.iter().chain(others.1) {
            near[at].push(*other);
            near[*other].push(at);
        }
    }
    let mut seen = vec![false; count];
    let mut all = Vec::new();
    for start in 0..count {
        let mut group = Vec::new();
        let mut next = vec![start];
        while let Some(at) = next.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                group.push(at);
                next.extend(&near[at]);
            }
        }
        if !group.is_empty() {
            group.sort_unstable();
            all.push(group);
        }
    }
    all
}

/// A group as sets of bits.
struct Search {
    /// What comes in with each: itself and all that it needs.
    pack: Vec<u128>,
    /// What goes out with each: all that conflicts with its pack, and whoever needs those.
    block: Vec<u128>,
    /// Whoever needs each, and itself.
    rely: Vec<u128>,
    priorities: Vec<i64>,
    best: u128,
    best_worth: (u32, i64),
    steps: usize,
}

fn search(graph: &Graph, group: &[usize]) -> (Vec<usize>, bool) {
    let bits = |others: &[usize]| -> u128 {
        others.iter().filter_map(|other| group.binary_search(other).ok()).fold(0, |all, bit| all | 1 << bit)
    };
    let conflicts: Vec<u128> = group.iter().map(|at| bits(&graph.conflicts[*at])).collect();
    let mut pack: Vec<u128> = group.iter().enumerate().map(|(bit, at)| 1 << bit | bits(&graph.needs[*at])).collect();
    for _ in 0..group.len() {
        pack = pack.iter().map(|own| each(*own).fold(*own, |all, bit| all | pack[bit])).collect();
    }
    let rely: Vec<u128> = (0..group.len())
        .map(|bit| (0..group.len()).filter(|other| pack[*other] >> bit & 1 == 1).fold(0, |all, other| all | 1 << other))
        .collect();
    let block: Vec<u128> = pack
        .iter()
        .map(|own| each(*own).flat_map(|bit| each(conflicts[bit])).fold(0, |all, bit| all | rely[bit]))
        .collect();
    let barred = |bit: &usize| !graph.allowed[group[*bit]] || pack[*bit] & block[*bit] != 0;
    let out = (0..group.len()).filter(barred).fold(0, |all, bit| all | rely[bit]);
    let priorities = group.iter().map(|at| graph.priorities[*at]).collect();
    let mut search = Search { pack, block, rely, priorities, best: 0, best_worth: (0, i64::MIN), steps: 0 };
    search.step(0, out);
    let found = each(search.best).map(|bit| group[bit]).collect();
    (found, search.steps < STEPS)
}

impl Search {
    fn step(&mut self, chosen: u128, out: u128) {
        self.steps += 1;
        let all = u128::MAX >> (128 - self.pack.len());
        let open = all & !chosen & !out;
        if self.steps >= STEPS || (chosen | open).count_ones() < self.best_worth.0 {
            return;
        }
        // Without a conflict left all that are open come in.
        let most = each(open).max_by_key(|bit| ((self.block[*bit] & open).count_ones(), std::cmp::Reverse(*bit)));
        match most.filter(|bit| self.block[*bit] & open != 0) {
            None => {
                let set = chosen | open;
                let worth = (set.count_ones(), each(set).map(|bit| self.priorities[bit]).sum());
                if worth > self.best_worth {
                    (self.best, self.best_worth) = (set, worth);
                }
            }
            Some(bit) => {
                self.step(chosen | self.pack[bit], out | self.block[bit]);
                self.step(chosen, out | self.rely[bit]);
            }
        }
    }
}

fn each(set: u128) -> impl Iterator<Item = usize> {
    (0..128).filter(move |bit| set >> bit & 1 == 1)
}

/// Always the one with the fewest conflicts among those that are left.
fn greedy(graph: &Graph, group: &[usize]) -> Vec<usize> {
    let mut open: BTreeSet<usize> = group.iter().copied().filter(|at| graph.allowed[*at]).collect();
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    loop {
        let ready = open.iter().filter(|at| graph.needs[**at].iter().all(|need| chosen.contains(need)));
        let conflicts = |at: usize| graph.conflicts[at].iter().filter(|other| open.contains(other)).count();
        let Some(next) = ready.copied().min_by_key(|at| (conflicts(*at), -graph.priorities[*at], *at)) else {
            return chosen.into_iter().collect();
        };
        open.remove(&next);
        chosen.insert(next);
        graph.conflicts[next].iter().for_each(|other| _ = open.remove(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(count: usize, conflicts: &[(usize, usize)], needs: &[(usize, usize)]) -> Graph {
        let mut graph = Graph {
            conflicts: vec![Vec::new(); count],
            needs: vec![Vec::new(); count],
            allowed: vec![true; count],
            priorities: vec![0; count],
        };
        for (a, b) in conflicts {
            graph.conflicts[*a].push(*b);
            graph.conflicts[*b].push(*a);
        }
        needs.iter().for_each(|(a, b)| graph.needs[*a].push(*b));
        graph
    }

    fn members(graph: &Graph) -> Vec<usize> {
        let found = largest(graph);
        assert!(found.is_exact);
        (0..found.members.len()).filter(|at| found.members[*at]).collect()
    }

    #[test]
    fn the_one_that_conflicts_with_all_stays_out() {
        assert_eq!(members(&graph(4, &[(0, 1), (0, 2), (0, 3)], &[])), [1, 2, 3]);
        assert_eq!(members(&graph(2, &[], &[])), [0, 1]);
    }

    #[test]
    fn who_needs_one_that_is_out_is_out() {
        assert_eq!(members(&graph(4, &[(0, 1)], &[(2, 1), (3, 2)])), [1, 2, 3]);
        let mut barred = graph(3, &[], &[(1, 0), (2, 1)]);
        barred.allowed[0] = false;
        assert_eq!(members(&barred), [0; 0]);
        assert_eq!(members(&graph(3, &[(0, 1)], &[(0, 1)])), [1, 2]);
    }

    #[test]
    fn priority_decides_between_sets_of_one_size() {
        let mut two = graph(2, &[(0, 1)], &[]);
        two.priorities[1] = 5;
        assert_eq!(members(&two), [1]);
    }

    /// Every set of small graphs, made up by a rule.
    #[test]
    fn it_is_as_large_as_the_best_of_all_sets() {
        let mut seed = 7_u64;
        let mut roll = |sides: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % sides
        };
        for _ in 0..300 {
            let count = 2 + roll(9) as usize;
            let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
            let conflicts: Vec<_> = pairs.clone().filter(|_| roll(4) == 0).collect();
            let needs: Vec<_> = pairs.filter(|_| roll(12) == 0).map(|(a, b)| (b, a)).collect();
            let graph = graph(count, &conflicts, &needs);
            let fits = |set: &u32| {
                let has = |at: usize| set >> at & 1 == 1;
                conflicts.iter().all(|(a, b)| !(has(*a) && has(*b))) && needs.iter().all(|(a, b)| !has(*a) || has(*b))
            };
            let best = (0..1_u32 << count).filter(fits).map(u32::count_ones).max().unwrap();
            let found = members(&graph);
            assert!(fits(&found.iter().fold(0, |set, at| set | 1 << at)));
            assert_eq!(found.len(), best as usize, "{graph:?}");
            let quick = greedy(&graph, &(0..count).collect::<Vec<_>>());
            assert!(fits(&quick.iter().fold(0, |set, at| set | 1 << at)));
        }
    }
}
