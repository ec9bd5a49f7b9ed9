// kMeans: Lloyd's algorithm. Which centroid is best for each point, the mean of each cluster's points, and the sum of
// distances; k-means++; and the admission of points to clusters of limited size.
//
// Rows are padded to whole vec4 (zeros add nothing, neither to products nor to distances). Sums are never made by atomic
// additions: points are sorted by cluster, and every sum runs in a fixed order, so that the same inputs give the same bits.
// @uses lib/grid.wgsl
// @uses lib/order.wgsl

struct Params {
  n: u32,           // points
  k: u32,           // centroids
  width: u32,       // vec4 per row
  groups: u32,      // 0: every point looks at every centroid; else the points come in groups with centroids of their own
  admits: u32,      // nonzero: centroids refuse points that are worse than the worst they hold
  parts: u32,       // partial sums per centroid
  capacity: u32,    // most points of a cluster
  step: u32,        // which centroid k-means++ chooses
}

override WORKGROUP_SIZE: u32 = 64u;
override BLOCK: u32 = 64u;              // points per workgroup
override SPHERICAL: bool = false;       // scores are x.c, not -|x - c|^2
const NONE = 0xffffffffu;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> points: array<vec4f>;
@group(0) @binding(2) var<storage, read> centroids: array<vec4f>;
@group(0) @binding(3) var<storage, read> order: array<u32>;             // points by group
@group(0) @binding(4) var<storage, read> groupInfo: array<vec4u>;       // first block, first point, first centroid, -
@group(0) @binding(5) var<storage, read> admission: array<vec2u>;       // the worst that is held: its key, its point
@group(0) @binding(6) var<storage, read_write> nearest: array<u32>;
@group(0) @binding(7) var<storage, read_write> scores: array<f32>;

/// What one vec4 adds to a score.
fn term(x: vec4f, c: vec4f) -> f32 {
  if (SPHERICAL) { return dot(x, c); }
  let t = x - c;
  return -dot(t, t);
}

/// The points and centroids of a workgroup.
struct Block { first: u32, last: u32, low: u32, high: u32 }

fn blockOf(id: u32) -> Block {
  if (params.groups == 0u) { return Block(id * BLOCK, min((id + 1u) * BLOCK, params.n), 0u, params.k); }
  if (id >= groupInfo[params.groups].x) { return Block(0u, 0u, 0u, 0u); }
  // The last group whose first block is not beyond this one. Groups without points have no blocks.
  var low = 0u;
  var high = params.groups;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (groupInfo[middle].x <= id) { low = middle; } else { high = middle; }
  }
  let own = groupInfo[low];
  let next = groupInfo[low + 1u];
  let first = own.y + (id - own.x) * BLOCK;
  return Block(first, min(first + BLOCK, next.y), own.z, next.z);
}

fn rowOf(member: u32) -> u32 {
  if (params.groups == 0u) { return member; }
  return order[member];
}

struct Best { index: u32, score: f32 }

/// Keep the better of two: the higher score; centroids come in ascending order, so the first of equals stays.
fn consider(best: ptr<function, Best>, index: u32, score: f32, row: u32) {
  if ((*best).index != NONE && !(score > (*best).score)) { return; }
  if (params.admits != 0u) {
    let worst = admission[index];
    let key = orderKey(bitcast<u32>(score));
    if (key < worst.x || (key == worst.x && row > worst.y)) { return; }
  }
  *best = Best(index, score);
}

/// One invocation owns two points and runs over all centroids, eight at a time: the centroids are at uniform addresses, and
/// each load of a point serves eight of them, each load of a centroid two points of all lanes.
@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansAssign(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let own = blockOf(linearGroup(group, groups));
  let width = params.width;
  for (var m = own.first + local; m < own.last; m += 2u * WORKGROUP_SIZE) {
    let hasTwo = m + WORKGROUP_SIZE < own.last;
    let row = rowOf(m);
    let twin = rowOf(select(m, m + WORKGROUP_SIZE, hasTwo));
    var best = Best(NONE, 0.0);
    var twinBest = Best(NONE, 0.0);
    for (var c = own.low; c < own.high; c += 8u) {
      let end = own.high - 1u;
      let c0 = c * width;
      let c1 = min(c + 1u, end) * width;
      let c2 = min(c + 2u, end) * width;
      let c3 = min(c + 3u, end) * width;
      let c4 = min(c + 4u, end) * width;
      let c5 = min(c + 5u, end) * width;
      let c6 = min(c + 6u, end) * width;
      let c7 = min(c + 7u, end) * width;
      var low = vec4f();
      var high = vec4f();
      var twinLow = vec4f();
      var twinHigh = vec4f();
      for (var j = 0u; j < width; j++) {
        let p = points[row * width + j];
        let q = points[twin * width + j];
        let v0 = centroids[c0 + j];
        let v1 = centroids[c1 + j];
        let v2 = centroids[c2 + j];
        let v3 = centroids[c3 + j];
        low += vec4f(term(p, v0), term(p, v1), term(p, v2), term(p, v3));
        twinLow += vec4f(term(q, v0), term(q, v1), term(q, v2), term(q, v3));
        let v4 = centroids[c4 + j];
        let v5 = centroids[c5 + j];
        let v6 = centroids[c6 + j];
        let v7 = centroids[c7 + j];
        high += vec4f(term(p, v4), term(p, v5), term(p, v6), term(p, v7));
        twinHigh += vec4f(term(q, v4), term(q, v5), term(q, v6), term(q, v7));
      }
      for (var i = 0u; i < min(8u, own.high - c); i++) {
        consider(&best, c + i, select(high[i & 3u], low[i & 3u], i < 4u), row);
        consider(&twinBest, c + i, select(twinHigh[i & 3u], twinLow[i & 3u], i < 4u), twin);
      }
    }
    nearest[row] = best.index;
    scores[row] = best.score;
    if (hasTwo) {
      nearest[twin] = twinBest.index;
      scores[twin] = twinBest.score;
    }
  }
}

// --- The same in tiles of 64 points and 64 centroids: 256 invocations, each with 4 x 4 scores in registers. ---

const TILE = 64u;
const STEP = 16u;    // dimensions per round, one vec4 per invocation and operand
var<workgroup> tileX: array<f32, 1024>;   // [STEP, TILE]; at the end the scores to merge
var<workgroup> tileC: array<f32, 1024>;   // [STEP, TILE]; at the end the bits of their centroids

@compute @workgroup_size(256)
fn kMeansAssignTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let own = blockOf(linearGroup(group, groups));
  if (own.first >= own.last) { return; }
  let width = params.width;
  let tx = local % 16u;
  let ty = local / 16u;
  // What this invocation loads: one vec4 of one point and of one centroid.
  let loadRow = local / 4u;
  let part = local % 4u;
  let x = rowOf(min(own.first + loadRow, own.last - 1u)) * width;
  var best: array<Best, 4>;
  for (var i = 0u; i < 4u; i++) { best[i] = Best(NONE, 0.0); }
  for (var c = own.low; c < own.high; c += TILE) {
    let y = min(c + loadRow, own.high - 1u) * width;
    var acc: array<vec4f, 4>;
    for (var i = 0u; i < 4u; i++) { acc[i] = vec4f(); }
    for (var j = 0u; j < width; j += STEP / 4u) {
      var p = vec4f();
      var q = vec4f();
      if (j + part < width) {
        p = points[x + j + part];
        q = centroids[y + j + part];
      }
      for (var e = 0u; e < 4u; e++) {
        tileX[(part * 4u + e) * TILE + loadRow] = p[e];
        tileC[(part * 4u + e) * TILE + loadRow] = q[e];
      }
      workgroupBarrier();   // the tile is complete before anyone reads it
      for (var s = 0u; s < STEP; s++) {
        let at = s * TILE;
        let b = vec4f(tileC[at + tx * 4u], tileC[at + tx * 4u + 1u], tileC[at + tx * 4u + 2u], tileC[at + tx * 4u + 3u]);
        for (var i = 0u; i < 4u; i++) {
          let a = tileX[at + ty * 4u + i];
          if (SPHERICAL) {
            acc[i] += a * b;
          } else {
            let t = a - b;
            acc[i] -= t * t;
          }
        }
      }
      workgroupBarrier();   // all have read it before it is overwritten
    }
    for (var i = 0u; i < 4u; i++) {
      let member = own.first + ty * 4u + i;
      if (member >= own.last) { continue; }
      let row = rowOf(member);
      for (var e = 0u; e < 4u; e++) {
        let index = c + tx * 4u + e;
        if (index < own.high) {
          var now = best[i];
          consider(&now, index, acc[i][e], row);
          best[i] = now;
        }
      }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    tileX[(ty * 4u + i) * 16u + tx] = best[i].score;
    tileC[(ty * 4u + i) * 16u + tx] = bitcast<f32>(best[i].index);
  }
  workgroupBarrier();   // every candidate is there before they are merged
  if (local < TILE && own.first + local < own.last) {
    var winner = Best(NONE, 0.0);
    for (var t = 0u; t < 16u; t++) {
      let index = bitcast<u32>(tileC[local * 16u + t]);
      let score = tileX[local * 16u + t];
      if (index == NONE) { continue; }
      if (winner.index == NONE || score > winner.score || (score == winner.score && index < winner.index)) {
        winner = Best(index, score);
      }
    }
    let row = rowOf(own.first + local);
    nearest[row] = winner.index;
    scores[row] = winner.score;
  }
}

// --- Means. Points are sorted by cluster; the sum of a cluster is cut into `parts`, which are added in order. ---

@group(0) @binding(2) var<storage, read> weights: array<f32>;           // 1 / |x|, spherical only
@group(0) @binding(4) var<storage, read> starts: array<u32>;            // [k + 1], into `order`
@group(0) @binding(5) var<storage, read_write> partial: array<vec4f>;   // [k, parts, width]

/// One invocation owns one vec4 of one part of one cluster. Blocks of 64 terms keep the chain of roundings short.
@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansSums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.k * params.parts * params.width) { return; }
  let column = id % params.width;
  let c = id / params.width / params.parts;
  let part = id / params.width % params.parts;
  let each = (starts[c + 1u] - starts[c] + params.parts - 1u) / params.parts;
  let first = min(starts[c] + part * each, starts[c + 1u]);
  let last = min(first + each, starts[c + 1u]);
  var sum = vec4f();
  for (var begin = first; begin < last; begin += 64u) {
    var block = vec4f();
    for (var m = begin; m < min(begin + 64u, last); m++) {
      let row = order[m];
      let x = points[row * params.width + column];
      if (SPHERICAL) { block += weights[row] * x; } else { block += x; }
    }
    sum += block;
  }
  partial[id] = sum;
}

@group(0) @binding(3) var<storage, read> partials: array<vec4f>;
@group(0) @binding(5) var<storage, read> restart: array<u32>;           // [k]: where an empty cluster goes, or NONE
@group(0) @binding(6) var<storage, read_write> moved: array<vec4f>;     // the centroids

/// One invocation owns one centroid.
@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansMeans(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let c = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (c >= params.k) { return; }
  let count = starts[c + 1u] - starts[c];
  if (count == 0u && restart[c] == NONE) { return; }
  var scale = 1.0;
  if (SPHERICAL) {
    var squares = 0.0;
    for (var j = 0u; j < params.width; j++) {
      let v = total(c, j, count);
      squares += dot(v, v);
    }
    if (squares == 0.0) { return; }
    scale = 1.0 / sqrt(squares);
  } else if (count > 0u) {
    scale = 1.0 / f32(count);
  }
  for (var j = 0u; j < params.width; j++) { moved[c * params.width + j] = total(c, j, count) * scale; }
}

/// One vec4 of the sum of a cluster; of the point that an empty one goes to.
fn total(c: u32, j: u32, count: u32) -> vec4f {
  if (count == 0u) {
    let row = restart[c];
    let x = points[row * params.width + j];
    if (SPHERICAL) { return weights[row] * x; }
    return x;
  }
  var sum = vec4f();
  for (var p = 0u; p < params.parts; p++) { sum += partials[(c * params.parts + p) * params.width + j]; }
  return sum;
}

@group(0) @binding(1) var<storage, read> random: array<u32>;
@group(0) @binding(2) var<storage, read_write> restarts: array<u32>;

/// Where empty clusters go: any point.
@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansRestart(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let c = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (c < params.k) { restarts[c] = random[c] % params.n; }
}

// --- Distances and their sum. ---

@group(0) @binding(3) var<storage, read> assigned: array<u32>;
@group(0) @binding(4) var<storage, read> inverse: array<f32>;           // 1 / |x|, spherical only
@group(0) @binding(5) var<storage, read_write> distances: array<f32>;   // [n]

/// D of a row to a centroid, in one go: the score of the assignment may have been made in another order.
fn distanceTo(row: u32, c: u32, weight: f32) -> f32 {
  var sum = 0.0;
  for (var j = 0u; j < params.width; j++) {
    sum += term(points[row * params.width + j], centroids[c * params.width + j]);
  }
  if (SPHERICAL) { return 1.0 - sum * weight; }
  return -sum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansDistances(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.n) { return; }
  var weight = 1.0;
  if (SPHERICAL) { weight = inverse[row]; }
  distances[row] = distanceTo(row, assigned[row], weight);
}

// --- k-means++: distances to the nearest centroid so far, with sums of chunks; then a point drawn in proportion. ---

@group(0) @binding(2) var<storage, read> pointWeights: array<f32>;      // spherical only
@group(0) @binding(3) var<storage, read> picks: array<u32>;             // [k]: the points chosen so far
@group(0) @binding(4) var<storage, read_write> nearestSoFar: array<f32>;
@group(0) @binding(5) var<storage, read_write> chunkSums: array<f32>;   // [parts]

/// One invocation owns one of `parts` chunks of points.
@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansNear(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.parts) { return; }
  let each = (params.n + params.parts - 1u) / params.parts;
  let c = picks[params.step - 1u];
  var scale = 1.0;
  if (SPHERICAL) { scale = pointWeights[c]; }
  var sum = 0.0;
  for (var row = id * each; row < min((id + 1u) * each, params.n); row++) {
    var own = 0.0;
    for (var j = 0u; j < params.width; j++) {
      own += term(points[row * params.width + j], points[c * params.width + j] * scale);
    }
    if (SPHERICAL) { own = 1.0 - own * pointWeights[row]; } else { own = -own; }
    own = max(own, 0.0);
    // A chosen point is at distance 0 from itself, whatever was rounded: it is not drawn again.
    if (row == c) { own = 0.0; }
    if (params.step > 1u) { own = min(own, nearestSoFar[row]); }
    nearestSoFar[row] = own;
    sum += own;
  }
  chunkSums[id] = sum;
}

@group(0) @binding(1) var<storage, read> draws: array<u32>;             // [k]
@group(0) @binding(2) var<storage, read> soFar: array<f32>;
@group(0) @binding(3) var<storage, read> sumsOfChunks: array<f32>;
@group(0) @binding(4) var<storage, read_write> picked: array<u32>;      // [k]

/// One invocation: the first point at which the running sum exceeds u times the whole sum.
@compute @workgroup_size(1)
fn kMeansPick() {
  let draw = draws[params.step];
  picked[params.step] = draw % params.n;
  if (params.step == 0u) { return; }
  var sum = 0.0;
  for (var p = 0u; p < params.parts; p++) { sum += sumsOfChunks[p]; }
  if (sum == 0.0) { return; }   // all points coincide with centroids: any point will do
  let goal = f32(draw >> 8u) * 0x1p-24 * sum;
  let each = (params.n + params.parts - 1u) / params.parts;
  var running = 0.0;
  var part = 0u;
  for (var p = 0u; p < params.parts; p++) {
    if (sumsOfChunks[p] > 0.0) {
      part = p;
      if (running + sumsOfChunks[p] > goal) { break; }
    }
    running += sumsOfChunks[p];
  }
  for (var row = part * each; row < min((part + 1u) * each, params.n); row++) {
    running += soFar[row];
    if (soFar[row] > 0.0) {
      picked[params.step] = row;
      if (running > goal) { return; }
    }
  }
}

// --- Balanced: deferred acceptance. Every point applies to the best centroid that would take it; a centroid with more than
// `capacity` applicants keeps the best and from then on takes only what is not worse than the worst it holds. ---

@group(0) @binding(1) var<storage, read_write> opened: array<vec2u>;    // [k]: the admission of an empty cluster

@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansOpen(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let c = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (c < params.k) { opened[c] = vec2u(0u, params.n); }
}

@group(0) @binding(1) var<storage, read> held: array<u32>;              // bits of the scores
@group(0) @binding(2) var<storage, read> memberOrder: array<u32>;
@group(0) @binding(3) var<storage, read> memberStarts: array<u32>;
@group(0) @binding(4) var<storage, read_write> admitted: array<vec2u>;

/// The bits of a key above those still unknown.
fn matches(key: u32, found: u32, shift: u32) -> bool {
  return shift == 24u || (key >> (shift + 8u)) == (found >> (shift + 8u));
}

/// One invocation owns one centroid: the key of its capacity-th best point, 8 bits at a time, then the last point that is
/// kept among those of this key.
@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansAdmit(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let c = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (c >= params.k) { return; }
  let first = memberStarts[c];
  let last = memberStarts[c + 1u];
  if (last - first <= params.capacity) { return; }
  var keep = params.capacity;
  var found = 0u;
  for (var shift = 32u; shift > 0u;) {
    shift -= 8u;
    var counts = array<u32, 256>();
    for (var m = first; m < last; m++) {
      let key = orderKey(held[memberOrder[m]]);
      if (matches(key, found, shift)) { counts[(key >> shift) & 255u] += 1u; }
    }
    var digit = 255u;
    while (counts[digit] < keep) {
      keep -= counts[digit];
      digit--;
    }
    found |= digit << shift;
  }
  for (var m = first; m < last; m++) {
    let row = memberOrder[m];
    if (orderKey(held[row]) == found) {
      keep--;
      if (keep == 0u) {
        admitted[c] = vec2u(found, row);
        return;
      }
    }
  }
}

var<workgroup> digits: array<atomic<u32>, 256>;
var<workgroup> sharedKeep: u32;
var<workgroup> sharedFound: u32;

/// The same with one workgroup per centroid, which counts together.
@compute @workgroup_size(64)
fn kMeansAdmitTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let c = linearGroup(group, groups);
  if (c >= params.k) { return; }
  let first = memberStarts[c];
  let last = memberStarts[c + 1u];
  if (last - first <= params.capacity) { return; }
  if (local == 0u) {
    sharedKeep = params.capacity;
    sharedFound = 0u;
  }
  for (var shift = 32u; shift > 0u;) {
    shift -= 8u;
    for (var i = local; i < 256u; i += 64u) { atomicStore(&digits[i], 0u); }
    workgroupBarrier();   // the counters are zero, and the digits found so far are there, before anyone counts
    let found = sharedFound;
    for (var m = first + local; m < last; m += 64u) {
      let key = orderKey(held[memberOrder[m]]);
      if (matches(key, found, shift)) { atomicAdd(&digits[(key >> shift) & 255u], 1u); }
    }
    workgroupBarrier();   // all have counted before the digit is looked up
    if (local == 0u) {
      var digit = 255u;
      while (atomicLoad(&digits[digit]) < sharedKeep) {
        sharedKeep -= atomicLoad(&digits[digit]);
        digit--;
      }
      sharedFound |= digit << shift;
    }
    workgroupBarrier();   // the digit is found before the counters are used again
  }
  // Ties are few as a rule; one invocation walks them in order.
  if (local == 0u) {
    var keep = sharedKeep;
    for (var m = first; m < last; m++) {
      let row = memberOrder[m];
      if (orderKey(held[row]) == sharedFound) {
        keep--;
        if (keep == 0u) {
          admitted[c] = vec2u(sharedFound, row);
          return;
        }
      }
    }
  }
}

@group(0) @binding(2) var<storage, read> cluster: array<u32>;
@group(0) @binding(3) var<storage, read> worst: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> homeless: array<u32>;    // [n]: 1 = without a place

@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansEvict(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.n) { return; }
  let limit = worst[cluster[row]];
  let key = orderKey(held[row]);
  homeless[row] = select(0u, 1u, key < limit.x || (key == limit.x && row > limit.y));
}

@group(0) @binding(1) var<storage, read> clusterStarts: array<u32>;
@group(0) @binding(2) var<storage, read_write> counted: array<u32>;     // [k]: points, or free places

@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansCounts(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let c = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (c >= params.k) { return; }
  let count = clusterStarts[c + 1u] - clusterStarts[c];
  if (params.admits == 0u) { counted[c] = count; }
  else { counted[c] = params.capacity - min(count, params.capacity); }
}

@group(0) @binding(1) var<storage, read> evicted: array<u32>;
@group(0) @binding(2) var<storage, read> evictedBefore: array<u32>;     // scanned
@group(0) @binding(3) var<storage, read> freeBefore: array<u32>;        // free places, scanned
@group(0) @binding(4) var<storage, read_write> placed: array<u32>;

/// The i-th point without a place takes the i-th free place.
@compute @workgroup_size(WORKGROUP_SIZE)
fn kMeansFill(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.n || evicted[row] == 0u) { return; }
  let i = evictedBefore[row];
  // The last cluster whose free places do not start beyond i; clusters without any start where the next one does.
  var low = 0u;
  var high = params.k;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (freeBefore[middle] <= i) { low = middle; } else { high = middle; }
  }
  placed[row] = low;
}
