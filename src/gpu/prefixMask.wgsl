// prefixMask: which words begin with a prefix, byte by byte. A word and a prefix agree up to the shorter of the two or
// they do not; what the lengths say then decides. Values pass through as bits, so NaN and zeros keep theirs, and the
// excluded ones get the bits of -Infinity, or 0 in the gradient.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
override PER: u32 = 4u;   // elements per invocation

struct Params { size: u32, words: u32, covers: u32, excluded: u32, begin: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read> prefixes: array<u32>;
@group(0) @binding(4) var<storage, read> prefixOffsets: array<u32>;
@group(0) @binding(5) var<storage, read> values: array<u32>;
@group(0) @binding(6) var<storage, read_write> kept: array<u32>;

fn wordByte(at: u32) -> u32 { return extractBits(words[at / 4u], at % 4u * 8u, 8u); }
fn prefixByte(at: u32) -> u32 { return extractBits(prefixes[at / 4u], at % 4u * 8u, 8u); }

/// How word `v` stands to prefix `q` over their overlap length: -1 before, 0 equal, 1 after.
fn compare(v: u32, q: u32) -> i32 {
  let begin = offsets[v];
  let origin = prefixOffsets[q];
  let overlap = min(offsets[v + 1u] - begin, prefixOffsets[q + 1u] - origin);
  for (var i = 0u; i < overlap; i++) {
    let a = wordByte(begin + i);
    let b = prefixByte(origin + i);
    if (a != b) { return select(1, -1, a < b); }
  }
  return 0;
}

fn wordLength(v: u32) -> u32 { return offsets[v + 1u] - offsets[v]; }
fn prefixLength(q: u32) -> u32 { return prefixOffsets[q + 1u] - prefixOffsets[q]; }

@compute @workgroup_size(WORKGROUP_SIZE)
fn prefixMask(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let first = linearGroup(group, groups) * WORKGROUP_SIZE * PER + local;
  for (var j = 0u; j < PER; j++) {
    let i = first + j * WORKGROUP_SIZE;
    if (i < params.size) {
      let q = (params.begin + i) / params.words;
      let v = (params.begin + i) % params.words;
      let length = wordLength(v);
      // Lengths first: most words of a covering search are settled without a byte.
      let candidate = length > 0u && (params.covers != 0u || length >= prefixLength(q));
      if (candidate && compare(v, q) == 0) { kept[i] = values[i]; } else { kept[i] = params.excluded; }
    }
  }
}

@group(0) @binding(5) var<storage, read_write> ranges: array<i32>;
@group(0) @binding(6) var<storage, read_write> ends: array<i32>;

/// Two bisections per prefix. All words that begin with it stand together, since the order is bytewise and a word that is
/// cut short sorts before its continuations: a word before them compares below the prefix or is a proper beginning of it.
@compute @workgroup_size(WORKGROUP_SIZE)
fn prefixMaskRange(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let q = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (q >= params.size) { return; }
  let length = prefixLength(q);
  var low = 0u;
  var high = params.words;
  while (low < high) {
    let v = low + (high - low) / 2u;
    let order = compare(v, q);
    if (order < 0 || (order == 0 && wordLength(v) < length)) { low = v + 1u; } else { high = v; }
  }
  ranges[q] = i32(low);
  high = params.words;
  while (low < high) {
    let v = low + (high - low) / 2u;
    if (compare(v, q) <= 0) { low = v + 1u; } else { high = v; }
  }
  ends[q] = i32(low);
}
