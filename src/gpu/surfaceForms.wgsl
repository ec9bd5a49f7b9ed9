// surfaceForms: every word as the cheapest sequence of pieces. One invocation per word. From each start that can be reached, the
// range of pieces that the word continues with is narrowed byte by byte, by two bisections each: the pieces are sorted, so the one
// that ends at a byte stands first in the range of those that have this beginning. No trie needs to be built.
// Integer costs, so both twins find the same sequence: a later start wins only if it is cheaper.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

struct Params { words: u32, pieces: u32, length: u32, padding: i32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> pieces: array<u32>;
@group(0) @binding(4) var<storage, read> pieceOffsets: array<u32>;
@group(0) @binding(5) var<storage, read> costs: array<u32>;
@group(0) @binding(6) var<storage, read_write> paths: array<vec2u>;   // for every end: least cost, last piece

const NEVER = 0xffffffffu;

fn wordByte(at: u32) -> u32 { return extractBits(words[at / 4u], at % 4u * 8u, 8u); }
fn pieceByte(at: u32) -> u32 { return extractBits(pieces[at / 4u], at % 4u * 8u, 8u); }

/// The first piece of low..high whose byte at `depth` is at least `byte`; all of them are longer than that.
fn bisect(first: u32, end: u32, depth: u32, byte: u32) -> u32 {
  var low = first;
  var high = end;
  while (low < high) {
    let middle = low + (high - low) / 2u;
    if (pieceByte(pieceOffsets[middle] + depth) < byte) { low = middle + 1u; } else { high = middle; }
  }
  return low;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn surfaceFormsSearch(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                      @builtin(local_invocation_index) local: u32) {
  let n = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (n >= params.words) { return; }
  let begin = offsets[n];
  let size = offsets[n + 1u] - begin;
  let origin = begin + n;   // one place more than bytes for every word
  paths[origin] = vec2u(0u);
  for (var e = 1u; e <= size; e++) { paths[origin + e] = vec2u(NEVER, 0u); }
  for (var s = 0u; s < size; s++) {
    let cost = paths[origin + s].x;
    if (cost == NEVER) { continue; }
    var low = 0u;
    var high = params.pieces;
    for (var depth = 0u; s + depth < size && low < high; depth++) {
      let byte = wordByte(begin + s + depth);
      low = bisect(low, high, depth, byte);
      high = bisect(low, high, depth, byte + 1u);
      if (low < high && pieceOffsets[low + 1u] - pieceOffsets[low] == depth + 1u) {
        let total = cost + costs[low];
        let place = origin + s + depth + 1u;
        if (total < paths[place].x) { paths[place] = vec2u(total, low); }
        low++;
      }
    }
  }
}

@group(0) @binding(1) var<storage, read> wordOffsets: array<u32>;
@group(0) @binding(2) var<storage, read> lengths: array<u32>;   // pieceOffsets
@group(0) @binding(3) var<storage, read> ids: array<i32>;
@group(0) @binding(4) var<storage, read> found: array<vec2u>;
@group(0) @binding(5) var<storage, read_write> forms: array<i32>;
@group(0) @binding(6) var<storage, read_write> counts: array<i32>;

/// Walk back from the end twice: to count the pieces, then to write those that have a place.
@compute @workgroup_size(WORKGROUP_SIZE)
fn surfaceForms(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let n = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (n >= params.words) { return; }
  let origin = wordOffsets[n] + n;
  let size = wordOffsets[n + 1u] - wordOffsets[n];
  var count = 0u;
  if (found[origin + size].x != NEVER) {
    for (var at = size; at > 0u; count++) {
      let piece = found[origin + at].y;
      at -= min(at, lengths[piece + 1u] - lengths[piece]);
    }
  }
  counts[n] = i32(count);
  for (var j = count; j < params.length; j++) { forms[n * params.length + j] = params.padding; }
  var at = size;
  for (var j = count; j > 0u; j--) {
    let piece = found[origin + at].y;
    if (j <= params.length) { forms[n * params.length + j - 1u] = ids[piece]; }
    at -= min(at, lengths[piece + 1u] - lengths[piece]);
  }
}
