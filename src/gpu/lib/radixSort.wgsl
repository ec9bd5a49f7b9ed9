// A stable radix sort of u32 keys with u32 payloads, 4 bits at a time, and an exclusive scan. Without barriers or shared
// memory: an invocation owns a contiguous chunk and keeps 16 counters, so the order within equal digits cannot change.
// @uses lib/grid.wgsl

struct SortParams {
  length: u32,    // elements
  chunk: u32,     // elements per invocation
  shift: u32,     // the lowest bit of the digit
  first: u32,     // nonzero: payloads are the positions themselves
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> sortParams: SortParams;
@group(0) @binding(1) var<storage, read> sortKeys: array<u32>;
@group(0) @binding(2) var<storage, read_write> digitCounts: array<u32>;   // [16, chunks]

/// How often each digit occurs in each chunk.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sortCount(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let chunks = (sortParams.length + sortParams.chunk - 1u) / sortParams.chunk;
  if (id >= chunks) { return; }
  var counts: array<u32, 16>;
  let begin = id * sortParams.chunk;
  for (var i = begin; i < min(begin + sortParams.chunk, sortParams.length); i++) {
    counts[(sortKeys[i] >> sortParams.shift) & 15u] += 1u;
  }
  for (var digit = 0u; digit < 16u; digit++) { digitCounts[digit * chunks + id] = counts[digit]; }
}

@group(0) @binding(2) var<storage, read> payloads: array<u32>;
@group(0) @binding(3) var<storage, read> digitStarts: array<u32>;         // digitCounts, scanned
@group(0) @binding(4) var<storage, read_write> outKeys: array<u32>;
@group(0) @binding(5) var<storage, read_write> outPayloads: array<u32>;

/// Move each element behind those with smaller digits, and behind equal ones before it.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sortScatter(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let chunks = (sortParams.length + sortParams.chunk - 1u) / sortParams.chunk;
  if (id >= chunks) { return; }
  var next: array<u32, 16>;
  for (var digit = 0u; digit < 16u; digit++) { next[digit] = digitStarts[digit * chunks + id]; }
  let begin = id * sortParams.chunk;
  for (var i = begin; i < min(begin + sortParams.chunk, sortParams.length); i++) {
    let key = sortKeys[i];
    let digit = (key >> sortParams.shift) & 15u;
    let place = next[digit];
    next[digit] = place + 1u;
    outKeys[place] = key;
    if (sortParams.first != 0u) { outPayloads[place] = i; } else { outPayloads[place] = payloads[i]; }
  }
}

// --- Exclusive scan: sums of chunks, the same scan over these sums, then each chunk from its start. ---

@group(0) @binding(2) var<storage, read_write> chunkSums: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn scanSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let begin = id * sortParams.chunk;
  if (begin >= sortParams.length) { return; }
  var sum = 0u;
  for (var i = begin; i < min(begin + sortParams.chunk, sortParams.length); i++) { sum += sortKeys[i]; }
  chunkSums[id] = sum;
}

@group(0) @binding(1) var<storage, read> chunkStarts: array<u32>;
@group(0) @binding(2) var<storage, read_write> scanned: array<u32>;       // counts in, starts out

/// With `first` set there is one chunk, which starts at 0.
@compute @workgroup_size(WORKGROUP_SIZE)
fn scanChunks(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let begin = id * sortParams.chunk;
  if (begin >= sortParams.length) { return; }
  var sum = 0u;
  if (sortParams.first == 0u) { sum = chunkStarts[id]; }
  for (var i = begin; i < min(begin + sortParams.chunk, sortParams.length); i++) {
    let count = scanned[i];
    scanned[i] = sum;
    sum += count;
  }
}

// --- Where each group starts among sorted keys: starts[g] = how many keys are below g, for g = 0 .. length. ---

@group(0) @binding(2) var<storage, read_write> groupStarts: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sortStarts(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let g = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (g >= sortParams.chunk) { return; }
  var low = 0u;
  var high = sortParams.length;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (sortKeys[middle] < g) { low = middle + 1u; } else { high = middle; }
  }
  groupStarts[g] = low;
}
