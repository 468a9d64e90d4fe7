//! The trackers of one torrent in the order in which they are tried.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::url::TrackerUrl;

/// Trackers of one torrent that are kept. Torrents with some hundred are met, most of them dead; each may cost four announces at once.
pub const MAX_TRACKERS: usize = 128;

/// Names a tracker of one torrent, also when its place among the others changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerKey(u32);

/// Tiers of trackers: those of the first tier are tried before those of the second. Within a tier the order is random at first, and the tracker that
/// answered last stands in front.
///
/// Source: [BEP 12](https://www.bittorrent.org/beps/bep_0012.html).
#[derive(Clone, Debug, Default)]
pub struct Tiers {
    tiers: Vec<Vec<TrackerKey>>,
    urls: BTreeMap<TrackerKey, TrackerUrl>,
    next_key: u32,
}

impl Tiers {
    /// Takes the tiers of a torrent or magnet link and shuffles each.
    ///
    /// What is no tracker URL, comes twice, or goes beyond [`MAX_TRACKERS`] is left out.
    pub fn new<Tier>(tiers: impl IntoIterator<Item = Tier>, seed: u64) -> Self
    where
        Tier: IntoIterator<Item: AsRef<str>>,
    {
        let mut random = StdRng::seed_from_u64(seed);
        let mut taken = Self::default();
        for tier in tiers {
            let urls = tier.into_iter().filter_map(|url| url.as_ref().parse().ok());
            let mut keys: Vec<_> = urls.filter_map(|url| taken.take(url)).collect();
            keys.shuffle(&mut random);
            if !keys.is_empty() {
                taken.tiers.push(keys);
            }
        }
        taken
    }

    /// Adds a tracker as a tier of its own behind the others. `None` when it is there already, or [`MAX_TRACKERS`] are.
    pub fn add(&mut self, url: TrackerUrl) -> Option<TrackerKey> {
        let key = self.take(url)?;
        self.tiers.push(vec![key]);
        Some(key)
    }

    fn take(&mut self, url: TrackerUrl) -> Option<TrackerKey> {
        if self.urls.len() >= MAX_TRACKERS || self.urls.values().any(|known| *known == url) {
            return None;
        }
        let key = TrackerKey(self.next_key);
        self.next_key += 1;
        self.urls.insert(key, url);
        Some(key)
    }

    /// Forgets a tracker.
    pub fn remove(&mut self, key: TrackerKey) -> Option<TrackerUrl> {
        for tier in &mut self.tiers {
            tier.retain(|other| *other != key);
        }
        self.tiers.retain(|tier| !tier.is_empty());
        self.urls.remove(&key)
    }

    /// Moves a tracker that answered to the front of its tier.
    pub fn promote(&mut self, key: TrackerKey) {
        for tier in &mut self.tiers {
            if let Some(place) = tier.iter().position(|other| *other == key) {
                tier[..=place].rotate_right(1);
            }
        }
    }

    /// The tiers, each in its present order.
    pub fn iter(&self) -> impl Iterator<Item = &[TrackerKey]> {
        self.tiers.iter().map(Vec::as_slice)
    }

    /// Where the tracker is.
    #[must_use]
    pub fn url(&self, key: TrackerKey) -> Option<&TrackerUrl> {
        self.urls.get(&key)
    }

    /// The number of trackers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.urls.len()
    }

    /// Whether there is no tracker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tiers: &Tiers) -> Vec<Vec<&str>> {
        let text = |key: &TrackerKey| tiers.url(*key).unwrap().as_str();
        tiers
            .iter()
            .map(|tier| tier.iter().map(text).collect())
            .collect()
    }

    #[test]
    fn each_tier_is_shuffled_and_stays_before_the_next() {
        let first: Vec<String> = (0..20)
            .map(|n| format!("http://first{n}.example/announce"))
            .collect();
        let second = vec!["udp://second.example:1".to_owned()];
        let orders: Vec<_> = (0..3)
            .map(|seed| {
                let tiers = Tiers::new([&first, &second], seed);
                let texts = texts(&tiers);
                assert_eq!(texts[1], ["udp://second.example:1"]);
                texts[0].iter().map(ToString::to_string).collect::<Vec<_>>()
            })
            .collect();
        assert_ne!(orders[0], orders[1]);
        for mut order in orders {
            order.sort();
            let mut all = first.clone();
            all.sort();
            assert_eq!(order, all);
        }
    }

    #[test]
    fn the_tracker_that_answered_moves_to_the_front_of_its_tier() {
        let mut tiers = Tiers::new(
            [&["http://a/", "http://b/", "http://c/"][..], &["http://d/"]],
            1,
        );
        let before = texts(&tiers).concat().join(" ");
        let last = tiers.iter().next().unwrap()[2];
        tiers.promote(last);
        let order: Vec<_> = before.split(' ').collect();
        assert_eq!(
            texts(&tiers),
            [vec![order[2], order[0], order[1]], vec![order[3]]]
        );
    }

    #[test]
    fn bad_repeated_and_too_many_urls_are_left_out() {
        let many: Vec<String> = (0..MAX_TRACKERS)
            .map(|n| format!("http://{n}.example/"))
            .collect();
        let head = ["no url", "http://a/", "HTTP://a:80/", ""]
            .map(String::from)
            .to_vec();
        let mut tiers = Tiers::new([head, vec!["wss://b/".to_owned()], many], 1);
        assert_eq!(tiers.iter().count(), 2);
        assert_eq!(tiers.len(), MAX_TRACKERS);
        assert_eq!(tiers.add("http://late.example/".parse().unwrap()), None);
        let first = tiers.iter().next().unwrap()[0];
        assert_eq!(tiers.remove(first).unwrap().as_str(), "http://a/");
        assert!(tiers.add("http://late.example/".parse().unwrap()).is_some());
        assert_eq!(texts(&tiers).last().unwrap(), &["http://late.example/"]);
    }
}
