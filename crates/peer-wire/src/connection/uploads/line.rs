//! Requests in the order they came, out of which any can be taken.

use std::collections::{HashMap, VecDeque};

use rarest_metainfo::Block;

/// Requests at either end that are looked through one by one: answers come mostly in order, and what is cancelled is mostly among the last.
const NEAR: usize = 32;

/// Blocks in order, the same one perhaps several times.
///
/// While they are taken from the ends, it is a queue and nothing more. Once one is taken out that is far from both, they are counted, and from then on
/// until the line is empty each costs the same: else a peer that cancels request after request among thousands would have us look through
/// all of them each time.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// In the order they came, with those that were taken out and not swept yet.
    order: VecDeque<Block>,
    counts: Option<HashMap<Block, Count>>,
    /// Those of `order` that were taken out.
    gone: usize,
}

/// How often a block stands in the order.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// And waits.
    waiting: usize,
    /// And was taken out: the first ones that come to the front.
    gone: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.order.len() - self.gone
    }

    pub(super) fn push(&mut self, block: Block) {
        self.order.push_back(block);
        if let Some(counts) = &mut self.counts {
            counts.entry(block).or_default().waiting += 1;
        }
    }

    /// Takes the first one.
    pub(super) fn pop(&mut self) -> Option<Block> {
        loop {
            let block = self.order.pop_front()?;
            let waits = self.leave_front(block);
            self.rest_if_empty();
            if waits {
                return Some(block);
            }
        }
    }

    /// Takes out one of that block; `false` when there is none.
    pub(super) fn remove(&mut self, block: Block) -> bool {
        if self.counts.is_none() {
            if let Some(index) = self.find_near_the_ends(block) {
                return self.order.remove(index).is_some();
            }
            if self.order.len() <= 2 * NEAR {
                return false;
            }
        }
        let order = &self.order;
        let counts = self.counts.get_or_insert_with(|| count(order));
        let Some(found) = counts.get_mut(&block).filter(|count| count.waiting > 0) else {
            return false;
        };
        found.waiting -= 1;
        found.gone += 1;
        self.gone += 1;
        // Sweeping costs as much as there is, and is done once for as many.
        if self.gone * 2 > self.order.len() {
            self.retain(|_| true);
        }
        true
    }

    /// Keeps those that `stays` says, which is asked in order.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(Block) -> bool) {
        let mut counts = self.counts.take();
        self.order.retain(|&block| {
            let count = counts.as_mut().and_then(|counts| counts.get_mut(&block));
            match count {
                Some(count) if count.gone > 0 => {
                    count.gone -= 1;
                    false
                }
                _ => stays(block),
            }
        });
        self.gone = 0;
        if counts.is_some() && !self.order.is_empty() {
            self.counts = Some(count(&self.order));
        }
    }

    /// The front one has left the order; whether it waited.
    fn leave_front(&mut self, block: Block) -> bool {
        let Some(counts) = &mut self.counts else {
            return true;
        };
        let Some(count) = counts.get_mut(&block) else {
            return true;
        };
        let waits = count.gone == 0;
        if waits {
            count.waiting -= 1;
        } else {
            count.gone -= 1;
            self.gone -= 1;
        }
        if count.waiting == 0 && count.gone == 0 {
            counts.remove(&block);
        }
        waits
    }

    fn rest_if_empty(&mut self) {
        if self.order.is_empty() {
            self.counts = None;
        }
    }

    fn find_near_the_ends(&self, block: Block) -> Option<usize> {
        let length = self.order.len();
        let first = (0..length.min(NEAR)).find(|&index| self.order[index] == block);
        first.or_else(|| {
            let last = length.saturating_sub(NEAR)..length;
            last.rev().find(|&index| self.order[index] == block)
        })
    }
}

fn count(order: &VecDeque<Block>) -> HashMap<Block, Count> {
    let mut counts = HashMap::<Block, Count>::with_capacity(order.len());
    for &block in order {
        counts.entry(block).or_default().waiting += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rarest_metainfo::{BlockRequest, Geometry};

    use super::*;

    fn block(number: u32) -> Block {
        let geometry = Geometry::contiguous(1 << 30, 1 << 20).unwrap();
        let request = BlockRequest {
            piece: number / 64,
            offset: number % 64 * 16_384,
            length: 16_384,
        };
        geometry.block(request).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u32),
        Pop,
        Remove(u32),
        Drop(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..150_u32).prop_map(Step::Push),
            2 => Just(Step::Pop),
            4 => (0..150_u32).prop_map(Step::Remove),
            1 => (0..150_u32).prop_map(Step::Drop),
        ]
    }

    proptest! {
        /// Beside a plain list: how many of each there are is always the same, and in the order in which they were pushed if each is there once.
        #[test]
        fn it_holds_what_a_list_would(steps in proptest::collection::vec(step(), 0..600)) {
            let mut line = Line::default();
            let mut list = Vec::new();
            for step in steps {
                match step {
                    Step::Push(number) if list.contains(&block(number)) => {}
                    Step::Push(number) => {
                        line.push(block(number));
                        list.push(block(number));
                    }
                    Step::Pop => {
                        let expected = (!list.is_empty()).then(|| list.remove(0));
                        prop_assert_eq!(line.pop(), expected);
                    }
                    Step::Remove(number) => {
                        let found = list.iter().position(|&it| it == block(number));
                        if let Some(index) = found {
                            list.remove(index);
                        }
                        prop_assert_eq!(line.remove(block(number)), found.is_some());
                    }
                    Step::Drop(number) => {
                        list.retain(|&it| it != block(number));
                        line.retain(|it| it != block(number));
                    }
                }
                prop_assert_eq!(line.len(), list.len());
            }
            let rest: Vec<_> = std::iter::from_fn(|| line.pop()).collect();
            prop_assert_eq!(rest, list);
        }

        #[test]
        fn the_same_block_can_stand_in_it_several_times(steps in proptest::collection::vec(step(), 0..600)) {
            let mut line = Line::default();
            let mut counts = HashMap::<Block, usize>::new();
            let same = |number| block(number % 80);
            for step in steps {
                match step {
                    Step::Push(number) => {
                        line.push(same(number));
                        *counts.entry(same(number)).or_default() += 1;
                    }
                    Step::Pop => {
                        if let Some(popped) = line.pop() {
                            let count = counts.get_mut(&popped).unwrap();
                            *count = count.checked_sub(1).unwrap();
                        }
                    }
                    Step::Remove(number) => {
                        let count = counts.entry(same(number)).or_default();
                        prop_assert_eq!(line.remove(same(number)), *count > 0);
                        *count = count.saturating_sub(1);
                    }
                    Step::Drop(number) => {
                        counts.remove(&same(number));
                        line.retain(|it| it != same(number));
                    }
                }
                prop_assert_eq!(line.len(), counts.values().sum::<usize>());
            }
        }
    }

    #[test]
    fn what_was_taken_out_does_not_pile_up() {
        let mut line = Line::default();
        for number in 0..4000 {
            line.push(block(number));
        }
        for round in 0..10 {
            for number in 500..3500 {
                assert!(line.remove(block(number)), "{round}");
                line.push(block(number));
            }
        }
        assert_eq!(line.len(), 4000);
        assert!(line.order.len() <= 2 * 4000 + 1);
    }
}
