//! A chunked body: no split changes what it holds or where it ends, and written anew it holds the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_wire::{CHUNK_END, ChunkDecoder, ChunkError, ChunkStep, LAST_CHUNK, chunk_head};

fuzz_target!(|data: &[u8]| {
    let whole = decode(ChunkDecoder::response(), &[data]);
    let single: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(decode(ChunkDecoder::response(), &single), whole);
    let cut = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (data.len() + 1);
    assert_eq!(
        decode(ChunkDecoder::response(), &[&data[..cut], &data[cut..]]),
        whole
    );
    let Ok(Some((body, used, trailers))) = whole else {
        return;
    };
    let dropped = decode(ChunkDecoder::request(), &[data]);
    assert_eq!(dropped, Ok(Some((body.clone(), used, Vec::new()))));
    let mut written = Vec::new();
    chunk_head(body.len(), &mut written);
    if !body.is_empty() {
        written.extend_from_slice(&body);
        written.extend_from_slice(CHUNK_END);
    }
    written.extend_from_slice(&LAST_CHUNK[..3]);
    written.extend_from_slice(&trailers);
    written.extend_from_slice(CHUNK_END);
    assert_eq!(
        decode(ChunkDecoder::response(), &[&written]),
        Ok(Some((body, written.len(), trailers)))
    );
});

type Decoded = (Vec<u8>, usize, Vec<u8>);

fn decode(mut decoder: ChunkDecoder, pieces: &[&[u8]]) -> Result<Option<Decoded>, ChunkError> {
    let (mut body, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let took = match decoder.step(rest)? {
                ChunkStep::Data { skip, len } => {
                    assert!(len > 0);
                    body.extend_from_slice(&rest[skip..skip + len]);
                    skip + len
                }
                ChunkStep::More { used: all } => {
                    assert_eq!(all, rest.len());
                    used += all;
                    break;
                }
                ChunkStep::End { used: last } => {
                    return Ok(Some((body, used + last, decoder.trailers().to_vec())));
                }
            };
            used += took;
            rest = &rest[took..];
        }
    }
    Ok(None)
}
