// The best rows of open lists without an array of all scores: a threshold per query is guessed from a sample of the rows,
// and a score below it is gone as soon as it is made. Rows that reach it go into a short buffer, in no order, and leave one
// bit each; the bits tell afterwards which place each of them has by ascending row, so that the order of arrival is forgotten.
//
// The guess decides about speed only. A query that gets fewer than k rows, or more than the buffer holds, is done again with
// the exact end of its results, the k-th pair (score, row), found digit by digit: counts of 11 bits of the score in three
// rounds, then of the row. Scores are the same bits in all of these rounds, since one kernel makes them (`annEmit`) with the
// same queries together.
// @uses lib/grid.wgsl
// @uses lib/listBlocks.wgsl
// @uses lib/order.wgsl

struct Params {
  parents: u32,     // lists
  length: u32,      // rows
  width: u32,       // vec4 per row
  queries: u32,     // queries of this batch, at most 32
  first: u32,       // the bound window holds the rows first ..< first + count
  count: u32,
  base: u32,        // the first query of this batch among all
  k: u32,           // results per query; every query has so many open rows
  mode: u32,        // annEmit: see below
  level: u32,       // the digit that is counted: 0 to 2 of the score, 3 to 5 of the row
  capacity: u32,    // places per query
  samples: u32,     // rows of the sample: one out of every `stride`
  stride: u32,
  rank: u32,        // the place in the sample that is surely behind the k-th of all
}

override WORKGROUP_SIZE: u32 = 64u;
override SCALED: bool = false;           // scores are multiplied by a number per query: 1 / |q|

const ABSENT = 0x7fc00000u;
const BINS = 2048u;
// What annEmit does: emit for all queries, count a digit, emit again. The last two are for queries that failed.
const EMIT = 0u;
const COUNT = 1u;

@group(0) @binding(0) var<uniform> params: Params;

// --- The sample. ---

@group(0) @binding(5) var<storage, read> openMasks: array<u32>;          // [parents]: bit q = open for query q
@group(0) @binding(6) var<storage, read> sampleScales: array<f32>;       // [all queries]
@group(0) @binding(7) var<storage, read_write> sampled: array<f32>;      // [queries, samples], absent at first

@group(0) @binding(1) var<storage, read_write> noSample: array<u32>;

/// Rows of the sample that a query has not opened have no score.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annNoSample(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < params.queries * params.samples) { noSample[i] = ABSENT; }
}

/// One invocation owns a row of the sample.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annSample(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.samples) { return; }
  let row = i * params.stride + params.stride / 2u;
  if (row < params.first || row >= params.first + params.count) { return; }
  // The last list that starts at or before the row is the one that holds it; lists before it that are empty start there, too.
  var low = 0u;
  var high = params.parents;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (parentStarts[middle] <= row) { low = middle; } else { high = middle; }
  }
  let width = params.width;
  for (var open = openMasks[low]; open != 0u; open &= open - 1u) {
    let q = countTrailingZeros(open);
    var s = oneScore((row - params.first) * width, (params.base + q) * width, width);
    if (SCALED) { s *= sampleScales[params.base + q]; }
    sampled[q * params.samples + i] = s;
  }
}

// --- Thresholds. ---

@group(0) @binding(1) var<storage, read> sampleBest: array<u32>;         // [queries, rank]: bits, best first
@group(0) @binding(2) var<storage, read> allScales: array<f32>;
@group(0) @binding(3) var<storage, read_write> made: array<vec4u>;       // [queries]: see `plans`

/// One invocation owns a query. Without enough of a sample every score passes.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annGuess(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let q = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (q >= params.queries) { return; }
  let bits = sampleBest[q * params.rank + params.rank - 1u];
  var scale = 1.0;
  if (SCALED) { scale = allScales[params.base + q]; }
  made[q] = vec4u(select(orderKey(bits), 0u, isNanBits(bits)), 0u, 0u, bitcast<u32>(scale));
}

@group(0) @binding(1) var<storage, read> allBlocks: array<u32>;          // [3]: the size of annEmit's dispatch
@group(0) @binding(2) var<storage, read_write> checked: array<vec4u>;    // [queries]: `plans`
@group(0) @binding(3) var<storage, read_write> tried: array<u32>;        // `room`
@group(0) @binding(4) var<storage, read_write> again: array<u32>;        // [3]: the size for those who failed

/// One invocation sees which queries have to be done again, and whether there are any.
@compute @workgroup_size(1)
fn annCheck() {
  var some = false;
  for (var q = 0u; q < params.queries; q++) {
    let emitted = tried[q];
    if (emitted >= params.k && emitted <= params.capacity) { continue; }
    some = true;
    checked[q] = vec4u(0u, 0u, params.k, checked[q].w);
    tried[q] = 0u;
  }
  again[0] = select(0u, allBlocks[0], some);
  again[1] = allBlocks[1];
  again[2] = 1u;
}

/// Take back the bits of the queries that failed.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annForget(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let all = groups.x * groups.y * WORKGROUP_SIZE;
  for (var i = linearGroup(group, groups) * WORKGROUP_SIZE + local; i < params.queries * wordsOf(); i += all) {
    if (checked[i / wordsOf()].z != 0u) { tried[bitsAt() + i] = 0u; }
  }
}

/// One workgroup owns a query: the digit of the k-th pair, and how many pairs with that digit are still wanted.
@compute @workgroup_size(1)
fn annPick(@builtin(workgroup_id) group: vec3u) {
  let q = group.x;
  var plan = checked[q];
  if (plan.z == 0u) { return; }
  let at = digitsAt(q);
  var digit = BINS - 1u;
  while (digit > 0u && tried[at + digit] < plan.z) {
    plan.z -= tried[at + digit];
    digit--;
  }
  let bits = digit << shiftOf(params.level);
  if (params.level < 3u) { plan.x |= bits; } else { plan.y |= bits; }
  checked[q] = plan;
  for (var i = 0u; i < BINS; i++) { tried[at + i] = 0u; }
}

// --- Emission. ---

// [queries]: the least key (x), and how far from the end a row with that key must be (y); wanted pairs of a query that is
// done again, or 0 (z); bits of the factor of its scores (w).
@group(0) @binding(5) var<storage, read> parentMasks: array<u32>;
@group(0) @binding(6) var<storage, read> ranks: array<u32>;              // the row of each place in the lists
@group(0) @binding(7) var<storage, read> plans: array<vec4u>;
// How many were emitted [queries], digits [queries, BINS], bits of rows [queries, words], pairs [queries, capacity, 2].
@group(0) @binding(8) var<storage, read_write> room: array<atomic<u32>>;

fn wordsOf() -> u32 { return (params.length + 31u) / 32u; }
fn digitsAt(q: u32) -> u32 { return params.queries + q * BINS; }
fn bitsAt() -> u32 { return params.queries * (1u + BINS); }
fn pairsAt() -> u32 { return bitsAt() + params.queries * wordsOf(); }
fn shiftOf(level: u32) -> u32 { return array<u32, 3>(21u, 10u, 0u)[level % 3u]; }

fn put(q: u32, row: u32, score: f32) {
  let plan = plans[q];
  var s = score;
  if (SCALED) { s *= bitcast<f32>(plan.w); }
  let bits = bitcast<u32>(s);
  if (isNanBits(bits)) { return; }
  let key = orderKey(bits);
  let far = ~row;
  if (params.mode == COUNT) {
    if (params.level >= 3u && key != plan.x) { return; }
    let word = select(far, key, params.level < 3u);
    let wanted = select(plan.y, plan.x, params.level < 3u);
    let shift = shiftOf(params.level);
    // The digits before this one are those of the k-th pair.
    let before = shiftOf(params.level + 2u);
    if (params.level % 3u != 0u && word >> before != wanted >> before) { return; }
    atomicAdd(&room[digitsAt(q) + ((word >> shift) & (BINS - 1u))], 1u);
    return;
  }
  if (key < plan.x || (key == plan.x && far < plan.y)) { return; }
  let slot = atomicAdd(&room[q], 1u);
  if (slot >= params.capacity) { return; }
  let at = pairsAt() + 2u * (q * params.capacity + slot);
  atomicStore(&room[at], bits);
  atomicStore(&room[at + 1u], row);
  atomicOr(&room[bitsAt() + q * wordsOf() + row / 32u], 1u << (row % 32u));
}

/// A workgroup owns a block of rows of one list, an invocation one row at a time, as in annScores.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annEmit(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let block = linearGroup(group, groups);
  if (block >= firstBlocks[params.parents]) { return; }
  let parent = listOfBlock(block, params.parents);
  let own = rowsOfBlock(block, parent, params.first, params.count);
  let width = params.width;
  var mask = parentMasks[parent];
  if (params.mode != EMIT) {
    for (var q = 0u; q < params.queries; q++) {
      if (plans[q].z == 0u) { mask &= ~(1u << q); }
    }
  }
  for (var at = own.x + local; at < own.y; at += WORKGROUP_SIZE) {
    let x = (at - params.first) * width;
    let row = ranks[at];
    var open = mask;
    while (open != 0u) {
      let four = nextFour(open);
      open = four.left;
      let q = four.queries;
      let begin = (params.base + q) * width;
      if (q.y == q.x) {
        put(q.x, row, oneScore(x, begin.x, width));
        break;
      }
      let scores = fourScores(x, begin, width);
      put(q.x, row, scores.x);
      put(q.y, row, scores.y);
      if (q.z != q.x) { put(q.z, row, scores.z); }
      if (q.w != q.x) { put(q.w, row, scores.w); }
    }
  }
}

// --- Order. ---

@group(0) @binding(1) var<storage, read> emittedRoom: array<u32>;        // `room`
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;       // [queries, words]

/// Emitted rows per word of bits. The scan of this tells where each word's rows begin.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annWords(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i < params.queries * wordsOf()) { counts[i] = countOneBits(emittedRoom[bitsAt() + i]); }
}

@group(0) @binding(2) var<storage, read> places: array<u32>;             // counts, scanned
@group(0) @binding(3) var<storage, read_write> ordered: array<u32>;      // [queries, capacity]: bits of scores
@group(0) @binding(4) var<storage, read_write> orderedRows: array<u32>;  // [queries, capacity]

/// One invocation owns a place of the results and an emitted pair. Pairs move to their places by ascending row.
@compute @workgroup_size(WORKGROUP_SIZE)
fn annOrder(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.queries * params.capacity) { return; }
  let q = id / params.capacity;
  let slot = id % params.capacity;
  if (slot >= emittedRoom[q]) {
    ordered[id] = ABSENT;
    return;
  }
  let row = emittedRoom[pairsAt() + 2u * id + 1u];
  let word = q * wordsOf() + row / 32u;
  let before = emittedRoom[bitsAt() + word] & ((1u << (row % 32u)) - 1u);
  let place = q * params.capacity + places[word] - places[q * wordsOf()] + countOneBits(before);
  ordered[place] = emittedRoom[pairsAt() + 2u * id];
  orderedRows[place] = row;
}

@group(0) @binding(1) var<storage, read> chosen: array<u32>;             // [queries, k]: places
@group(0) @binding(2) var<storage, read> rowsByPlace: array<u32>;        // [queries, capacity]
@group(0) @binding(3) var<storage, read_write> chosenRows: array<u32>;   // [queries, k]

@compute @workgroup_size(WORKGROUP_SIZE)
fn annChosen(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= params.queries * params.k) { return; }
  chosenRows[i] = rowsByPlace[i / params.k * params.capacity + chosen[i]];
}
