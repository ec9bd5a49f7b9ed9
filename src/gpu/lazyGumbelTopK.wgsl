// An exact Gumbel top-k of q . x over lists of words, without a score for most of them.
//
// A word's sum is score + noise. Its list bounds the score, and the noise of a segment of 64 words comes in falling order
// (lib/arrivals.wgsl), so an invocation that owns a segment stops where bound + noise falls below a threshold that k + 1 words
// have reached. Noise is integer arithmetic and goes into `dense`, at the place of the word's rank; a second kernel, which
// owns rows and reads each once for up to 32 queries, turns it into sums. Lists are taken in four rounds by falling
// bounds; topK between the rounds finds the threshold. Which words are scored depends on roundings, which sums are
// largest does not: a word that is left out cannot reach the threshold.
// @uses lib/grid.wgsl
// @uses lib/arrivals.wgsl
// @uses lib/listBlocks.wgsl

struct Params {
  lists: u32,
  length: u32,      // words
  width: u32,       // vec4 per row
  queries: u32,     // queries of this batch, at most 32
  base: u32,        // the first query of this batch among all
  first: u32,       // the bound window holds the rows first ..< first + count
  count: u32,
  round: u32,
  goal0: u32,       // lists with larger bounds hold fewer words than this: round 0
  goal1: u32,
  goal2: u32,
  kept: u32,        // sums per query that topK returns
  k: u32,           // of these are in the sample; the one after them is the threshold
  inverse: f32,     // 1 / temperature
  loose: f32,       // relative inflation of a bound
  key0: u32,
  key1: u32,
  stride: u32,      // words of marks per round
  last: u32,        // 1: this window ends the rows
}

override WORKGROUP_SIZE: u32 = 64u;

const SEGMENT = 64u;
const CHUNK = 64u;
const ABSENT = 0x7fc00000u;
const NEG_INF_BITS = 0xff800000u;

@group(0) @binding(0) var<uniform> params: Params;

// --- Balls. ---

@group(0) @binding(2) var<storage, read> starts: array<u32>;             // [lists + 1]
@group(0) @binding(3) var<storage, read_write> centres: array<vec4f>;    // [lists, width], zeros at first

/// One invocation owns four columns of a list's centre: neighbours read neighbouring columns of the same row.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyCentres(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.lists * params.width) { return; }
  let list = id / params.width;
  let column = id % params.width;
  let begin = max(starts[list], params.first);
  let end = min(starts[list + 1u], params.first + params.count);
  var sum = centres[id];
  for (var row = begin; row < end; row++) { sum += rows[(row - params.first) * params.width + column]; }
  let members = starts[list + 1u] - starts[list];
  if (params.last == 1u && members > 0u) { sum = sum / f32(members); }
  centres[id] = sum;
}

@group(0) @binding(3) var<storage, read> centreRows: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> reach: array<atomic<u32>>;   // [lists]: bits of squares

/// The list of a place: the last one that starts at or before it and is not empty.
fn listOf(place: u32) -> u32 {
  var low = 0u;
  var high = params.lists;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (starts[middle] <= place) { low = middle; } else { high = middle; }
  }
  return low;
}

/// One invocation owns a row. Bits of floats from 0 on are in the order of the floats, and NaN is above all.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyReach(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let at = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (at >= params.count) { return; }
  let list = listOf(params.first + at);
  var squares = 0.0;
  for (var j = 0u; j < params.width; j++) {
    let t = rows[at * params.width + j] - centreRows[list * params.width + j];
    squares += dot(t, t);
  }
  atomicMax(&reach[list], bitcast<u32>(squares) & 0x7fffffffu);
}

@group(0) @binding(1) var<storage, read> squaresOf: array<f32>;
@group(0) @binding(2) var<storage, read_write> radii: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyRadii(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let list = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (list < params.lists) { radii[list] = sqrt(squaresOf[list]) * (1.0 + params.loose); }
}

// --- Bounds, and the rounds in which lists are taken. ---

@group(0) @binding(1) var<storage, read> queries: array<vec4f>;          // all of them
@group(0) @binding(2) var<storage, read> ballCentres: array<vec4f>;
@group(0) @binding(3) var<storage, read> ballRadii: array<f32>;
@group(0) @binding(4) var<storage, read_write> bounds: array<f32>;       // [queries, lists]

/// One invocation owns a list and all queries of the batch. The bound is raised by what rounding may take from it, from a
/// score, and from a sum with noise, which is below 32.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyBounds(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let list = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (list >= params.lists) { return; }
  let radius = ballRadii[list];
  for (var q = 0u; q < params.queries; q++) {
    let begin = (params.base + q) * params.width;
    var product = 0.0;
    var absolute = 0.0;
    var squares = 0.0;
    for (var j = 0u; j < params.width; j++) {
      let v = queries[begin + j];
      let t = v * ballCentres[list * params.width + j];
      product += t.x + t.y + t.z + t.w;
      absolute += dot(abs(t), vec4f(1.0));
      squares += dot(v, v);
    }
    let reach = sqrt(squares) * radius;
    let bound = (product + reach + params.loose * (absolute + reach)) * params.inverse;
    bounds[q * params.lists + list] = bound + 0x1p-20 * (abs(bound) + 32.0);
  }
}

@group(0) @binding(1) var<storage, read> order: array<u32>;              // [queries, lists]: by falling bounds
@group(0) @binding(2) var<storage, read> listStarts: array<u32>;
@group(0) @binding(3) var<storage, read_write> held: array<u32>;         // [queries, chunks]

/// One invocation owns a chunk of 64 lists of the order: how many words it holds.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyHeld(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let chunks = (params.lists + CHUNK - 1u) / CHUNK;
  if (id >= params.queries * chunks) { return; }
  let q = id / chunks;
  let begin = (id % chunks) * CHUNK;
  var sum = 0u;
  for (var i = begin; i < min(begin + CHUNK, params.lists); i++) {
    let list = order[q * params.lists + i];
    sum += listStarts[list + 1u] - listStarts[list];
  }
  held[id] = sum;
}

@group(0) @binding(3) var<storage, read> heldBy: array<u32>;
@group(0) @binding(4) var<storage, read> orderedBounds: array<u32>;      // [queries, lists]: bits, falling
@group(0) @binding(5) var<storage, read_write> plans: array<vec2u>;      // [queries, lists]: bits of the bound, round

/// One invocation owns a chunk of 64 lists: each goes to the round for which the lists before it do not hold enough.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyRounds(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let chunks = (params.lists + CHUNK - 1u) / CHUNK;
  if (id >= params.queries * chunks) { return; }
  let q = id / chunks;
  let begin = (id % chunks) * CHUNK;
  var before = 0u;
  for (var c = q * chunks; c < id; c++) { before += heldBy[c]; }
  for (var i = begin; i < min(begin + CHUNK, params.lists); i++) {
    let list = order[q * params.lists + i];
    let round = select(select(select(3u, 2u, before < params.goal2), 1u, before < params.goal1), 0u,
                       before < params.goal0);
    plans[q * params.lists + list] = vec2u(orderedBounds[q * params.lists + i], round);
    before += listStarts[list + 1u] - listStarts[list];
  }
}

// --- Noise. ---

@group(0) @binding(1) var<storage, read> edges: array<u32>;              // [lists + 1]: where lists start
@group(0) @binding(2) var<storage, read_write> segments: array<u32>;     // [lists + 1]

/// Segments of each list. The scan of this tells which segment belongs to whom.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazySegments(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let list = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (list > params.lists) { return; }
  var count = 0u;
  if (list < params.lists) { count = (edges[list + 1u] - edges[list] + SEGMENT - 1u) / SEGMENT; }
  segments[list] = count;
}

@group(0) @binding(1) var<storage, read> firstSegments: array<u32>;      // [lists + 1]
@group(0) @binding(2) var<storage, read> segmentStarts: array<u32>;      // [lists + 1]: where lists start
@group(0) @binding(3) var<storage, read> ranks: array<u32>;              // [length]
@group(0) @binding(4) var<storage, read> listPlans: array<vec2u>;
@group(0) @binding(5) var<storage, read> found: array<f32>;              // [queries, kept]: sums of the rounds before
@group(0) @binding(6) var<storage, read_write> dense: array<u32>;        // [queries, length]: bits of noise
@group(0) @binding(7) var<storage, read_write> marks: array<atomic<u32>>;   // [rounds, stride]: bit q = list has noise
@group(0) @binding(8) var<storage, read_write> scored: array<atomic<u32>>;  // [all queries]

/// One invocation owns a segment for one query, and all noise in it.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyNoise(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  // There are firstSegments[lists] segments; this many are asked for, so that the host need not know.
  let most = params.length / SEGMENT + params.lists;
  let q = id / most;
  let segment = id % most;
  if (q >= params.queries || segment >= firstSegments[params.lists]) { return; }
  var list = 0u;
  var high = params.lists;
  while (high - list > 1u) {
    let middle = (list + high) / 2u;
    if (firstSegments[middle] <= segment) { list = middle; } else { high = middle; }
  }
  let plan = listPlans[q * params.lists + list];
  if (plan.y != params.round) { return; }
  let bound = bitcast<f32>(plan.x);
  // Nothing may be left out before k + 1 words are there, nor when there are no more than k.
  let limited = params.round > 0u && params.kept > params.k;
  var limit = 0.0;
  if (limited) { limit = found[q * params.kept + params.k]; }
  let start = segmentStarts[list] + (segment - firstSegments[list]) * SEGMENT;
  let count = min(SEGMENT, segmentStarts[list + 1u] - start);

  let key = threefry2x32(vec2u(params.key0, params.key1), vec2u(0u, params.base + q));
  var seen = vec2u();
  var made = 0u;
  var left = count;
  var time = vec2u();
  var over = false;
  for (var arrival = 1u; left > 0u; arrival++) {
    let words = threefry2x32(key, vec2u(arrival, start));
    time = addWide(time, exponentialTime(words.x, words.y));
    if ((time.x >> 8u) >= count) { break; }
    let noise = gumbelOfTime(time, count);
    // Falling noise: what comes after it cannot reach the limit either. Written so that NaN leaves nothing out.
    if (limited && bound + bitcast<f32>(noise) < limit) {
      over = true;
      break;
    }
    let place = ((words.y & 0xffffffu) * count) >> 24u;
    let bit = vec2u(select(0u, 1u << (place & 31u), place < 32u), select(0u, 1u << (place & 31u), place >= 32u));
    if (any((seen & bit) != vec2u(0u))) { continue; }
    seen |= bit;
    left--;
    made++;
    dense[q * params.length + ranks[start + place]] = noise;
  }
  // No arrival until time 1: from there on the time that is left is fresh.
  for (var place = 0u; place < count && left > 0u && !over; place++) {
    if ((select(seen.x, seen.y, place >= 32u) & (1u << (place & 31u))) != 0u) { continue; }
    let words = threefry2x32(key, vec2u(0u, start + place));
    let noise = gumbelOfTime(addWide(vec2u(256u, 0u), exponentialTime(words.x, words.y)), 1u);
    if (limited && bound + bitcast<f32>(noise) < limit) { continue; }
    made++;
    dense[q * params.length + ranks[start + place]] = noise;
  }
  if (made > 0u) {
    atomicOr(&marks[params.round * params.stride + list], 1u << q);
    atomicAdd(&scored[params.base + q], made);
  }
}

// --- Sums. ---

@group(0) @binding(5) var<storage, read> masks: array<u32>;              // marks, from this round on
@group(0) @binding(6) var<storage, read> rankOf: array<u32>;
@group(0) @binding(7) var<storage, read_write> sums: array<u32>;         // dense: noise becomes a sum

fn put(query: u32, place: u32, noise: u32, score: f32) {
  if (noise == ABSENT) { return; }
  sums[query * params.length + place] = bitcast<u32>(score * params.inverse + bitcast<f32>(noise));
}

/// A workgroup owns a block of rows of one list, an invocation one row at a time. The queries that have noise in the list
/// are taken four at a time.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyScores(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let block = linearGroup(group, groups);
  if (block >= firstBlocks[params.lists]) { return; }
  let list = listOfBlock(block, params.lists);
  let own = rowsOfBlock(block, list, params.first, params.count);
  let width = params.width;
  for (var row = own.x + local; row < own.y; row += WORKGROUP_SIZE) {
    let place = rankOf[row];
    var open = masks[params.round * params.stride + list];
    while (open != 0u) {
      let four = nextFour(open);
      open = four.left;
      let q = four.queries;
      let na = sums[q.x * params.length + place];
      let nb = select(ABSENT, sums[q.y * params.length + place], q.y != q.x);
      let nc = select(ABSENT, sums[q.z * params.length + place], q.z != q.x);
      let nd = select(ABSENT, sums[q.w * params.length + place], q.w != q.x);
      if (na == ABSENT && nb == ABSENT && nc == ABSENT && nd == ABSENT) { continue; }
      let scores = fourScores((row - params.first) * width, (params.base + q) * width, width);
      put(q.x, place, na, scores.x);
      put(q.y, place, nb, scores.y);
      put(q.z, place, nc, scores.z);
      put(q.w, place, nd, scores.w);
    }
  }
}

// --- Results. ---

@group(0) @binding(1) var<storage, read> selected: array<i32>;           // [queries, kept]: ranks
@group(0) @binding(2) var<storage, read> selectedSums: array<u32>;       // [queries, kept]: bits
@group(0) @binding(3) var<storage, read> idOfRank: array<i32>;
@group(0) @binding(4) var<storage, read_write> ids: array<i32>;          // [all queries, k]
@group(0) @binding(5) var<storage, read_write> perturbed: array<u32>;    // [all queries, k]: bits
@group(0) @binding(6) var<storage, read_write> threshold: array<u32>;    // [all queries]: bits

/// One invocation owns a place of the sample, or the threshold after it. A query that is not finite has nothing but NaN.
@compute @workgroup_size(WORKGROUP_SIZE)
fn lazyResults(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let slots = params.k + 1u;
  if (id >= params.queries * slots) { return; }
  let q = id / slots;
  let r = id % slots;
  var bits = NEG_INF_BITS;
  var rank = 0;
  if (r < params.kept) {
    bits = selectedSums[q * params.kept + r];
    rank = selected[q * params.kept + r];
  }
  if (r == params.k) {
    threshold[params.base + q] = bits;
    return;
  }
  let at = (params.base + q) * params.k + r;
  let there = (bits & 0x7fffffffu) <= 0x7f800000u;
  perturbed[at] = bits;
  ids[at] = -1;
  if (there) { ids[at] = idOfRank[rank]; }
}
