//! Any hashes as the answer to any hash request.
#![no_main]

#[path = "../../crates/metainfo/tests/it/agreement.rs"]
#[expect(dead_code, reason = "each target calls one of its functions")]
mod agreement;

libfuzzer_sys::fuzz_target!(|input: ([u32; 4], u8, Vec<[u8; 32]>)| {
    let ([base_layer, index, length, proof_layers], height, hashes) = input;
    let request = rarest_metainfo::merkle::HashRequest {
        base_layer,
        index,
        length,
        proof_layers,
    };
    agreement::a_proof_is_refused_or_holds(request, height.into(), &hashes);
});
