//! The reference for any messages: other implementations, one message at a time. The fuzz target includes this file.

use rarest_hash::{Sha1, Sha256, Slices, sha1, sha1_many, sha256, sha256_many};

/// Hashes each message together with the others, alone, and slice by slice; all have to agree with the reference.
pub(crate) fn assert_all_match(messages: &[Vec<&[u8]>]) {
    let messages: Vec<Slices<'_>> = messages.iter().map(Vec::as_slice).collect();
    let sha1_together = sha1_many(&messages);
    let sha256_together = sha256_many(&messages);
    assert_eq!(sha1_together.len(), messages.len());
    assert_eq!(sha256_together.len(), messages.len());
    for (index, slices) in messages.iter().enumerate() {
        let message = slices.concat();
        let context = format!("message {index} of {}", messages.len());

        let expected = sha1_smol::Sha1::from(&message).digest().bytes();
        assert_eq!(sha1_together[index].0, expected, "{context}");
        assert_eq!(sha1(&message).0, expected, "{context}");
        let mut in_parts = Sha1::new();
        slices.iter().for_each(|slice| in_parts.update(slice));
        assert_eq!(in_parts.finish().0, expected, "{context}");

        let expected: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&message).into();
        assert_eq!(sha256_together[index].0, expected, "{context}");
        assert_eq!(sha256(&message).0, expected, "{context}");
        let mut in_parts = Sha256::new();
        slices.iter().for_each(|slice| in_parts.update(slice));
        assert_eq!(in_parts.finish().0, expected, "{context}");
    }
}
