// sampleLogits: draw one word per row of logits, after temperature, top-k and top-p, by the Gumbel maximum.
//
// A row is cut into contiguous parts, one invocation each; what the parts found is put together by the next dispatch, so
// that no barrier and no atomic is needed. Both limits are found without sorting. The words that take part are always the
// k' first ones by (logit descending, index ascending), that is: all above some order key, and the first few at it. That
// key is found digit by digit, four bits at a time: how many words (top-k), or how much probability (top-p), lie at or
// above each of 16 candidates? Eight such levels settle all 32 bits. Then the words at the key itself are counted.
//
//   sampleStats, sampleSummary          largest logit, log of the sum of exp
//   sampleCounts, sampleSums  (8 times) the key of top-k       then sampleCountTies, sampleCut
//   sampleMasses, sampleSums  (8 times) the key of top-p       then sampleMassTies, sampleCut
//   sampleDraw, sampleChoose            the maximum of logits / temperature + noise
//
// Logits are compared as order keys. A word whose scaled logit is more than 100 below the largest cannot be drawn, for the
// noise lies within [-3.8, 44.4], and weighs less than 2^-126: it is passed over, and no exp or product overflows.
// Source: Maddison, Tarlow, Minka (2014); Holtzman et al. (2020).
// @uses lib/gumbel.wgsl
// @uses lib/order.wgsl
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256

struct Params {
  rows: u32,
  words: u32,
  parts: u32,      // per row
  chunk: u32,      // words per part
  level: u32,       // 0..7: which digit is asked for
  topK: u32,       // 0: no limit
  topP: f32,       // 0: no limit
  inverse: f32,    // 1 / temperature; 0: take the largest
  reach: f32,      // 100 temperature
  baseHigh: u32,   // position of the first element in the noise, high and low word
  baseLow: u32,
  key0: u32,
  key1: u32,
}

const NEG_INF_KEY = 0x007fffffu;
const POS_INF_KEY = 0xff800000u;
const NAN_BITS = 0x7fc00000u;
const DIGITS = 16u;

struct Part {
  largest: u32,    // order key of the largest logit
  index: u32,      // the first one's position
  sum: u32,        // bits of the sum of exp(logit - largest)
  bad: u32,        // 1: NaN or infinity was seen
}

struct Row {
  top: u32,        // bits of the largest logit
  index: u32,
  logSum: u32,     // bits of log(sum of exp(logit - top))
  good: u32,
}

/// Which words take part: all above a key, and at the key itself the first few.
struct Cut {
  key: u32,        // 0: no limit
  limit: u32,      // how many of the words at the key take part
  before: u32,     // how many words at the key lie before this part
  above: u32,      // words above the key in this part, or bits of their probability
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;

/// What an invocation owns: (row, part), and its words.
struct Own { row: u32, part: u32, first: u32, end: u32 }

fn owned(id: u32) -> Own {
  let part = id % params.parts;
  let first = min(part * params.chunk, params.words);
  return Own(id / params.parts, part, first, min(first + params.chunk, params.words));
}

/// exp(logit - top) of a logit that is not far below.
fn plainWeight(logit: f32, top: f32) -> f32 {
  if (logit < top - 100.0) { return 0.0; }
  return exp(logit - top);
}

fn weight(logit: f32, top: f32) -> f32 {
  if (logit < top - params.reach) { return 0.0; }
  return exp((logit - top) * params.inverse);
}

// --- The largest logit and the sum. ---

@group(0) @binding(2) var<storage, read_write> stats: array<Part>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleStats(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.parts) { return; }
  let own = owned(id);
  let origin = own.row * params.words;
  var largest = 0u;
  var index = 0u;
  var bad = 0u;
  for (var j = own.first; j < own.end; j++) {
    let key = orderKey(logits[origin + j]);
    if (key >= POS_INF_KEY) { bad = 1u; }
    if (key > largest) { largest = key; index = j; }
  }
  var sum = 0.0;
  if (bad == 0u && largest > NEG_INF_KEY) {
    let top = bitcast<f32>(bitsOfOrderKey(largest));
    for (var j = own.first; j < own.end; j++) {
      let bits = logits[origin + j];
      if (orderKey(bits) > NEG_INF_KEY) { sum += plainWeight(bitcast<f32>(bits), top); }
    }
  }
  stats[id] = Part(largest, index, bitcast<u32>(sum), bad);
}

@group(0) @binding(1) var<storage, read> parts: array<Part>;
@group(0) @binding(2) var<storage, read_write> summary: array<Row>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleSummary(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let first = row * params.parts;
  var largest = 0u;
  var index = 0u;
  var bad = 0u;
  for (var p = first; p < first + params.parts; p++) {
    let part = parts[p];
    bad |= part.bad;
    if (part.largest > largest) { largest = part.largest; index = part.index; }
  }
  let good = bad == 0u && largest > NEG_INF_KEY;
  let top = bitsOfOrderKey(largest);
  var logSum = 0.0;
  if (good) {
    var sum = 0.0;
    for (var p = first; p < first + params.parts; p++) {
      let part = parts[p];
      if (part.largest > NEG_INF_KEY) {
        sum += bitcast<f32>(part.sum) * plainWeight(bitcast<f32>(bitsOfOrderKey(part.largest)), bitcast<f32>(top));
      }
    }
    logSum = log(sum);
  }
  summary[row] = Row(top, index, bitcast<u32>(logSum), select(0u, 1u, good));
}

// --- The key of a limit, digit by digit. ---

@group(0) @binding(2) var<storage, read> countSums: array<u32>;          // [8, rows, 16]
@group(0) @binding(3) var<storage, read_write> ladder: array<vec4u>;     // [rows, parts, 16]

/// The digits of top-k's key that are settled: each is the largest for which enough words are at or above it.
fn keyByCount(row: u32, levels: u32) -> u32 {
  var key = 0u;
  for (var level = 0u; level < levels; level++) {
    let at = (level * params.rows + row) * DIGITS;
    var digit = DIGITS - 1u;
    while (digit > 0u && countSums[at + digit] < params.topK) { digit--; }
    key |= digit << (28u - 4u * level);
  }
  return key;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleCounts(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.parts) { return; }
  let own = owned(id);
  let origin = own.row * params.words;
  let base = vec4u(keyByCount(own.row, params.level));
  let shift = vec4u(28u - 4u * params.level);
  let k0 = base + (vec4u(0u, 1u, 2u, 3u) << shift);
  let k1 = base + (vec4u(4u, 5u, 6u, 7u) << shift);
  let k2 = base + (vec4u(8u, 9u, 10u, 11u) << shift);
  let k3 = base + (vec4u(12u, 13u, 14u, 15u) << shift);
  var c0 = vec4u();
  var c1 = vec4u();
  var c2 = vec4u();
  var c3 = vec4u();
  for (var j = own.first; j < own.end; j++) {
    let key = vec4u(orderKey(logits[origin + j]));
    c0 += select(vec4u(), vec4u(1u), key >= k0);
    c1 += select(vec4u(), vec4u(1u), key >= k1);
    c2 += select(vec4u(), vec4u(1u), key >= k2);
    c3 += select(vec4u(), vec4u(1u), key >= k3);
  }
  ladder[id * 4u] = c0;
  ladder[id * 4u + 1u] = c1;
  ladder[id * 4u + 2u] = c2;
  ladder[id * 4u + 3u] = c3;
}

@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read> cutK: array<Cut>;               // [rows, parts], nothing without topK
@group(0) @binding(4) var<storage, read> massSums: array<f32>;           // [8, rows, 16]
@group(0) @binding(5) var<storage, read_write> masses: array<vec4f>;     // [rows, parts, 16]

/// The cut of top-k for one part.
fn cutOfK(id: u32) -> Cut {
  if (params.topK == 0u) { return Cut(0u, 0u, 0u, 0u); }
  return cutK[id];
}

/// Whether a word with this key takes part. `seen` counts the words at the cut's key so far.
fn takesPart(key: u32, cut: Cut, seen: ptr<function, u32>) -> bool {
  if (key <= NEG_INF_KEY || key < cut.key) { return false; }
  if (key > cut.key) { return true; }
  *seen += 1u;
  return *seen <= cut.limit;
}

/// The digits of top-p's key that are settled: each is the largest for which enough probability is at or above it.
fn keyByMass(row: u32, levels: u32) -> u32 {
  let enough = params.topP * massSums[row * DIGITS];
  var key = 0u;
  for (var level = 0u; level < levels; level++) {
    let at = (level * params.rows + row) * DIGITS;
    var digit = DIGITS - 1u;
    while (digit > 0u && massSums[at + digit] < enough) { digit--; }
    key |= digit << (28u - 4u * level);
  }
  return key;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleMasses(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.parts) { return; }
  let own = owned(id);
  let origin = own.row * params.words;
  let top = bitcast<f32>(rows[own.row].top);
  let base = vec4u(keyByMass(own.row, params.level));
  let shift = vec4u(28u - 4u * params.level);
  let k0 = base + (vec4u(0u, 1u, 2u, 3u) << shift);
  let k1 = base + (vec4u(4u, 5u, 6u, 7u) << shift);
  let k2 = base + (vec4u(8u, 9u, 10u, 11u) << shift);
  let k3 = base + (vec4u(12u, 13u, 14u, 15u) << shift);
  let cut = cutOfK(id);
  var seen = cut.before;
  var m0 = vec4f();
  var m1 = vec4f();
  var m2 = vec4f();
  var m3 = vec4f();
  if (rows[own.row].good != 0u) {
    for (var j = own.first; j < own.end; j++) {
      let bits = logits[origin + j];
      let key = vec4u(orderKey(bits));
      if (takesPart(key.x, cut, &seen)) {
        let w = vec4f(weight(bitcast<f32>(bits), top));
        m0 += select(vec4f(), w, key >= k0);
        m1 += select(vec4f(), w, key >= k1);
        m2 += select(vec4f(), w, key >= k2);
        m3 += select(vec4f(), w, key >= k3);
      }
    }
  }
  masses[id * 4u] = m0;
  masses[id * 4u + 1u] = m1;
  masses[id * 4u + 2u] = m2;
  masses[id * 4u + 3u] = m3;
}

@group(0) @binding(1) var<storage, read> counted: array<u32>;            // [rows, parts, 16]
@group(0) @binding(2) var<storage, read_write> countSumsOut: array<u32>;

/// One invocation per (row, digit): the parts of a row put together, in order.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleCountSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * DIGITS) { return; }
  var sum = 0u;
  for (var p = 0u; p < params.parts; p++) {
    sum += counted[(id / DIGITS * params.parts + p) * DIGITS + id % DIGITS];
  }
  countSumsOut[params.level * params.rows * DIGITS + id] = sum;
}

@group(0) @binding(1) var<storage, read> weighed: array<f32>;            // [rows, parts, 16]
@group(0) @binding(2) var<storage, read_write> massSumsOut: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleMassSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * DIGITS) { return; }
  var sum = 0.0;
  for (var p = 0u; p < params.parts; p++) {
    sum += weighed[(id / DIGITS * params.parts + p) * DIGITS + id % DIGITS];
  }
  massSumsOut[params.level * params.rows * DIGITS + id] = sum;
}

// --- The words at the key. ---

@group(0) @binding(3) var<storage, read_write> cuts: array<Cut>;         // [rows, parts]

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleCountTies(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.parts) { return; }
  let own = owned(id);
  let origin = own.row * params.words;
  let limit = keyByCount(own.row, 8u);
  var ties = 0u;
  var above = 0u;
  for (var j = own.first; j < own.end; j++) {
    let key = orderKey(logits[origin + j]);
    if (key == limit) { ties++; }
    if (key > limit) { above++; }
  }
  cuts[id] = Cut(limit, 0u, ties, above);
}

@group(0) @binding(5) var<storage, read_write> massCuts: array<Cut>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleMassTies(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.parts) { return; }
  let own = owned(id);
  let origin = own.row * params.words;
  let top = bitcast<f32>(rows[own.row].top);
  let limit = keyByMass(own.row, 8u);
  let cut = cutOfK(id);
  var seen = cut.before;
  var ties = 0u;
  var above = 0.0;
  if (rows[own.row].good != 0u) {
    for (var j = own.first; j < own.end; j++) {
      let bits = logits[origin + j];
      let key = orderKey(bits);
      if (takesPart(key, cut, &seen)) {
        if (key == limit) { ties++; }
        if (key > limit) { above += weight(bitcast<f32>(bits), top); }
      }
    }
  }
  massCuts[id] = Cut(limit, 0u, ties, bitcast<u32>(above));
}

@group(0) @binding(1) var<storage, read_write> countCut: array<Cut>;

/// How many words at the key take part, and how many of them lie before each part.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleCountCut(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let first = row * params.parts;
  var above = 0u;
  for (var p = first; p < first + params.parts; p++) { above += countCut[p].above; }
  let limit = params.topK - above;
  var before = 0u;
  for (var p = first; p < first + params.parts; p++) {
    let cut = countCut[p];
    countCut[p] = Cut(cut.key, limit, before, 0u);
    before += cut.before;
  }
}

@group(0) @binding(1) var<storage, read> rowsOfCut: array<Row>;
@group(0) @binding(2) var<storage, read> sumsOfCut: array<f32>;
@group(0) @binding(3) var<storage, read_write> massCut: array<Cut>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleMassCut(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let first = row * params.parts;
  let key = massCut[first].key;
  var above = 0.0;
  for (var p = first; p < first + params.parts; p++) { above += bitcast<f32>(massCut[p].above); }
  // As few of the equal words as reach the rest, one at least.
  var limit = 1u;
  if (rowsOfCut[row].good != 0u) {
    let each = weight(bitcast<f32>(bitsOfOrderKey(key)), bitcast<f32>(rowsOfCut[row].top));
    let rest = params.topP * sumsOfCut[row * DIGITS] - above;
    if (each > 0.0) { limit = u32(clamp(ceil(rest / each), 1.0, 4294967040.0)); }
  }
  var before = 0u;
  for (var p = first; p < first + params.parts; p++) {
    let cut = massCut[p];
    massCut[p] = Cut(key, limit, before, 0u);
    before += cut.before;
  }
}

// --- The draw. ---

@group(0) @binding(4) var<storage, read> cutP: array<Cut>;               // nothing without topP
@group(0) @binding(5) var<storage, read_write> best: array<vec2u>;       // [rows, parts]: bits of the score, index + 1

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleDraw(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.parts) { return; }
  let own = owned(id);
  let origin = own.row * params.words;
  let top = bitcast<f32>(rows[own.row].top);
  let byCount = cutOfK(id);
  var byMass = Cut(0u, 0u, 0u, 0u);
  if (params.topP > 0.0) { byMass = cutP[id]; }
  var seenK = byCount.before;
  var seenP = byMass.before;
  var score = 0.0;
  var found = 0u;
  if (rows[own.row].good != 0u) {
    for (var j = own.first; j < own.end; j++) {
      let bits = logits[origin + j];
      let key = orderKey(bits);
      // Short-circuit: top-p counts only among the words that top-k lets through.
      if (!takesPart(key, byCount, &seenK) || !takesPart(key, byMass, &seenP)) { continue; }
      let logit = bitcast<f32>(bits);
      if (logit < top - params.reach) { continue; }
      let counter = counterAt(vec2u(params.baseHigh, params.baseLow), origin + j);
      let noise = bitcast<f32>(gumbelBits(vec2u(params.key0, params.key1), counter));
      let s = (logit - top) * params.inverse + noise;
      if (found == 0u || s > score) {
        score = s;
        found = j + 1u;
      }
    }
  }
  best[id] = vec2u(bitcast<u32>(score), found);
}

@group(0) @binding(3) var<storage, read> bests: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> ids: array<i32>;
@group(0) @binding(5) var<storage, read_write> logProbs: array<u32>;     // bits

@compute @workgroup_size(WORKGROUP_SIZE)
fn sampleChoose(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let info = rows[row];
  if (info.good == 0u) {
    ids[row] = -1;
    logProbs[row] = NAN_BITS;
    return;
  }
  var id = info.index;
  if (params.inverse > 0.0) {
    var score = 0.0;
    var found = false;
    for (var p = row * params.parts; p < (row + 1u) * params.parts; p++) {
      let part = bests[p];
      let s = bitcast<f32>(part.x);
      if (part.y > 0u && (!found || s > score)) {
        score = s;
        found = true;
        id = part.y - 1u;
      }
    }
  }
  let logit = bitcast<f32>(logits[row * params.words + id]);
  ids[row] = i32(id);
  logProbs[row] = bitcast<u32>((logit - bitcast<f32>(info.top)) - bitcast<f32>(info.logSum));
}
