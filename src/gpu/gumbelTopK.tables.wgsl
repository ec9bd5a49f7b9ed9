// The relaxations of gumbelTopK that keep tables: exactK and relaxedTopK. One workgroup owns one row of scores and runs
// over it step by step; its invocations share the entries of a step. Tables lie in storage: they are too large for
// workgroup memory, so every step ends with a barrier.
//
// `scores` holds, for exactK, the differences to the row's base that gumbelTopK.threshold.wgsl left, and for relaxedTopK
// the scores themselves; -infinity marks a position that takes no part.
// @uses lib/grid.wgsl
// @uses lib/logOneMinus.wgsl

override LANES: u32 = 8u;       // invocations per workgroup, a power of two up to 64; 1: no barriers, for software drivers
override BACKWARD: bool = false;

const EXCLUDED = 0xff800000u;   // bits of -infinity
const REFUSED = 0x7f800000u;    // bits of +infinity
const NAN_BITS = 0x7fc00000u;

const CONSTANT = 2u;            // statuses of a row: see gumbelTopK.threshold.wgsl
const BAD = 3u;

struct Params {
  rows: u32,        // rows of this batch, one workgroup each
  row: u32,         // the first of them
  length: u32,
  k: u32,
  inverse: f32,     // 1 / temperature
}

struct Row {        // as in gumbelTopK.threshold.wgsl
  status: u32,
  base: f32,
  lambda: f32,
  miss: f32,
  high: f32,
  highSum: f32,
  highSlope: f32,
  low: f32,
  lowSum: f32,
  slope: f32,
  mean: f32,
  spare: f32,
  points: vec4f,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> scores: array<u32>;             // [all rows, length]
@group(0) @binding(2) var<storage, read> states: array<Row>;             // [all rows]
@group(0) @binding(3) var<storage, read> gradient: array<f32>;           // dKHot, [all rows, length]; for BACKWARD
@group(0) @binding(4) var<storage, read_write> out: array<u32>;          // [all rows, length]: the relaxation or dLogits
@group(0) @binding(5) var<storage, read_write> table: array<f32>;
@group(0) @binding(6) var<storage, read_write> weighted: array<f32>;
@group(0) @binding(7) var<storage, read_write> rolling: array<f32>;

var<workgroup> tile: array<vec2f, 64>;

/// What the invocations stored is there for all of them. A driver drops barriers that an override switches off.
fn sync() {
  if (LANES > 1u) { storageBarrier(); }
}

/// The sum over the invocations of a workgroup, in all of them. Also a barrier for what they stored.
fn sumTile(local: u32, mine: vec2f) -> vec2f {
  if (LANES == 1u) { return mine; }
  storageBarrier();
  tile[local] = mine;
  workgroupBarrier();
  for (var d = LANES / 2u; d > 0u; d /= 2u) {
    if (local < d) { tile[local] += tile[local + d]; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&tile[0]);   // waits before and after, so the tile may be used again
}

/// Fill a row of the output with a constant.
fn fill(origin: u32, local: u32, status: u32) {
  for (var i = local; i < params.length; i += LANES) {
    let live = select(1.0, 0.0, BACKWARD || params.k == 0u || scores[origin + i] == EXCLUDED);
    out[origin + i] = select(bitcast<u32>(live), NAN_BITS, status == BAD);
  }
}

// --- exactK ---
// With odds e^(y[i]), any shift of y gives the same law on subsets of k. Shifted by the lambda of the sigmoid threshold,
// each entry is in a random set with p[i] = sigmoid(y[i]), independently, k are expected, and exactK is that law given
// that there are exactly k. Its tables are then probabilities, added and multiplied only: nothing cancels, and what
// underflows does not matter. table[i][j] = P(j of the first i entries), weighted[i][j] = E(sum of g over them; j of them).
// dLogits = covariance of the entry with the sum of g = E(z[i] G) - E(z[i]) E(G); g is taken minus a mean before, which
// changes no covariance and keeps both terms small.

/// (p, 1 - p) of a position.
fn chances(bits: u32, lambda: f32) -> vec2f {
  if (bits == EXCLUDED) { return vec2f(0.0, 1.0); }
  let y = clamp((bitcast<f32>(bits) - lambda) * params.inverse, -100.0, 100.0);
  let e = exp(-abs(y));
  let small = e / (1.0 + e);
  let large = 1.0 / (1.0 + e);
  return select(vec2f(large, small), vec2f(small, large), y < 0.0);
}

@compute @workgroup_size(LANES)
fn exactK(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= params.rows) { return; }   // uniform: a whole workgroup leaves
  let row = params.row + id;
  let origin = row * params.length;
  let state = states[row];
  if (state.status == CONSTANT || state.status == BAD) {
    fill(origin, local, state.status);
    return;
  }
  let width = params.k + 1u;
  let base = id * (params.length + 1u) * width;
  for (var j = local; j < width; j += LANES) {
    table[base + j] = select(0.0, 1.0, j == 0u);
    if (BACKWARD) { weighted[base + j] = 0.0; }
  }
  sync();
  for (var i = 0u; i < params.length; i++) {
    let c = chances(scores[origin + i], state.lambda);
    var g = 0.0;
    if (BACKWARD) { g = gradient[origin + i] - state.mean; }
    let here = base + i * width;
    for (var j = local; j < width; j += LANES) {
      var joined = 0.0;
      if (j > 0u) { joined = table[here + j - 1u]; }
      table[here + width + j] = c.y * table[here + j] + c.x * joined;
      if (BACKWARD) {
        var sum = 0.0;
        if (j > 0u) { sum = weighted[here + j - 1u]; }
        weighted[here + width + j] = c.y * weighted[here + j] + c.x * (sum + g * joined);
      }
    }
    sync();
  }
  let whole = base + params.length * width + params.k;
  let total = table[whole];
  var meanSum = 0.0;
  if (BACKWARD) { meanSum = weighted[whole] / total; }

  // The same from the last entry backwards; only the current row is kept, in two places by turns.
  let roll = id * 4u * width;
  for (var j = local; j < width; j += LANES) {
    rolling[roll + j] = select(0.0, 1.0, j == 0u);
    rolling[roll + 2u * width + j] = 0.0;
  }
  sync();
  for (var left = params.length; left > 0u; left--) {
    let i = left - 1u;
    let turn = (params.length - left) & 1u;
    let now = roll + turn * width;
    let then = roll + (1u - turn) * width;
    let c = chances(scores[origin + i], state.lambda);
    var g = 0.0;
    if (BACKWARD) { g = gradient[origin + i] - state.mean; }
    let here = base + i * width;
    var mine = vec2f(0.0);
    for (var j = local; j < width; j += LANES) {
      // j of the entries after i; together with i and k - 1 - j of those before it, they are k.
      let after = rolling[now + j];
      var joined = 0.0;
      if (j > 0u) { joined = rolling[now + j - 1u]; }
      rolling[then + j] = c.y * after + c.x * joined;
      if (j < params.k) {
        let before = table[here + params.k - 1u - j];
        mine.x += before * after;
        if (BACKWARD) {
          let sums = weighted[here + params.k - 1u - j] * after + before * rolling[now + 2u * width + j];
          mine.y += sums + g * before * after;
        }
      }
      if (BACKWARD) {
        var sum = 0.0;
        if (j > 0u) { sum = rolling[now + 2u * width + j - 1u]; }
        rolling[then + 2u * width + j] = c.y * rolling[now + 2u * width + j] + c.x * (sum + g * joined);
      }
    }
    let both = sumTile(local, mine) * (c.x / total);
    if (local == 0u) {
      out[origin + i] = bitcast<u32>(select(both.x, (both.y - both.x * meanSum) * params.inverse, BACKWARD));
    }
  }
}

// --- relaxedTopK ---
// k softmax steps: w += log(1 - p), p = softmax(w / temperature), sum of all p. At most one entry of a step exceeds 1/2,
// the one of the largest w; its 1 - p comes from the sum over the others, so that nothing cancels. BACKWARD keeps all
// steps in `table` [k, length], and (largest, its 1 - p) of each in `weighted` [k, 2].
// `rolling` holds [2, length]: w, and what the next step hands back.

const TINY = 1.1754944e-38;     // the floor of 1 - p in the published code

var<workgroup> bestValue: array<f32, 64>;
var<workgroup> bestPlace: array<u32, 64>;

const NOWHERE = 0xffffffffu;

/// The place of the largest w of a workgroup, the first of equals, in all invocations.
fn largestTile(local: u32, value: f32, place: u32) -> u32 {
  if (LANES == 1u) { return place; }
  workgroupBarrier();   // all have read the last result
  bestValue[local] = value;
  bestPlace[local] = place;
  workgroupBarrier();
  for (var d = LANES / 2u; d > 0u; d /= 2u) {
    if (local < d) {
      let other = bestValue[local + d];
      let at = bestPlace[local + d];
      let better = other > bestValue[local] || (other == bestValue[local] && at < bestPlace[local]);
      if (at != NOWHERE && (bestPlace[local] == NOWHERE || better)) {
        bestValue[local] = other;
        bestPlace[local] = at;
      }
    }
    workgroupBarrier();
  }
  return bestPlace[0];
}

@compute @workgroup_size(LANES)
fn relaxedTopK(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= params.rows) { return; }   // uniform: a whole workgroup leaves
  let origin = (params.row + id) * params.length;
  let w = id * 2u * params.length;
  var live = vec2f(0.0);               // how many take part, how many are refused
  for (var i = local; i < params.length; i += LANES) {
    let bits = scores[origin + i];
    live += vec2f(select(1.0, 0.0, bits == EXCLUDED), select(0.0, 1.0, bits == REFUSED));
    rolling[w + i] = bitcast<f32>(select(bits, 0u, bits == EXCLUDED || bits == REFUSED));
    rolling[w + params.length + i] = 0.0;
    if (!BACKWARD) { out[origin + i] = 0u; }
  }
  live = sumTile(local, live);
  let bad = live.y > 0.0;
  // Loops run as often in every row, since they hold barriers; past a row's last step nothing happens in them.
  let steps = select(min(params.k, u32(live.x)), 0u, bad);
  let keep = select(0u, params.length, BACKWARD);
  let base = id * select(1u, params.k, BACKWARD) * params.length;
  var largest = 0u;
  var others = 1.0;                    // 1 - p of the largest, after the step before
  for (var s = 0u; s < params.k; s++) {
    let end = select(0u, params.length, s < steps);
    let before = base + (max(s, 1u) - 1u) * keep;
    let now = base + s * keep;
    var best = 0.0;
    var place = NOWHERE;
    for (var i = local; i < end; i += LANES) {
      if (scores[origin + i] == EXCLUDED) { continue; }
      if (s > 0u) {
        let taken = table[before + i];
        rolling[w + i] += select(logOneMinus(min(taken, 0.5)), log(max(others, TINY)), i == largest);
      }
      if (place == NOWHERE || rolling[w + i] > best) {
        best = rolling[w + i];
        place = i;
      }
    }
    largest = largestTile(local, best, place);
    sync();
    let top = rolling[w + min(largest, params.length - 1u)];
    var rest = 0.0;
    for (var i = local; i < end; i += LANES) {
      if (scores[origin + i] == EXCLUDED) { continue; }
      let e = exp(max((rolling[w + i] - top) * params.inverse, -100.0));
      table[now + i] = e;
      if (i != largest) { rest += e; }
    }
    rest = sumTile(local, vec2f(rest, 0.0)).x;
    others = rest / (1.0 + rest);
    for (var i = local; i < end; i += LANES) {
      if (scores[origin + i] == EXCLUDED) { continue; }
      let p = select(table[now + i], 1.0, i == largest) / (1.0 + rest);
      table[now + i] = p;
      if (!BACKWARD) { out[origin + i] = bitcast<u32>(bitcast<f32>(out[origin + i]) + p); }
    }
    if (BACKWARD && local == 0u && s < steps) {
      weighted[(id * params.k + s) * 2u] = bitcast<f32>(largest);
      weighted[(id * params.k + s) * 2u + 1u] = others;
    }
    sync();
  }
  if (BACKWARD) { handBack(id, origin, base, w, steps, local); }
  if (bad) { fill(origin, local, BAD); }
}

/// From the last step to the first: gp = g + what was handed back; dw += p (gp - sum of p gp) / temperature; hand back
/// -dw / (1 - p). For the largest, gp - sum of p gp = (1 - p) (gp - mean of the others' gp).
fn handBack(id: u32, origin: u32, base: u32, w: u32, steps: u32, local: u32) {
  for (var i = local; i < params.length; i += LANES) { out[origin + i] = 0u; }
  for (var left = params.k; left > 0u; left--) {
    let s = left - 1u;
    let end = select(0u, params.length, s < steps);
    let now = base + s * params.length;
    let largest = bitcast<u32>(weighted[(id * params.k + s) * 2u]);
    let others = weighted[(id * params.k + s) * 2u + 1u];
    var mine = vec2f(0.0);             // sum of p gp over the others; p gp of the largest
    for (var i = local; i < end; i += LANES) {
      if (scores[origin + i] == EXCLUDED) { continue; }
      let product = table[now + i] * (gradient[origin + i] + rolling[w + params.length + i]);
      mine += select(vec2f(product, 0.0), vec2f(0.0, product), i == largest);
    }
    let sums = sumTile(local, mine);
    var beforeLargest = params.length;
    var beforeOthers = 0.0;
    if (s > 0u) {
      beforeLargest = bitcast<u32>(weighted[(id * params.k + s - 1u) * 2u]);
      beforeOthers = weighted[(id * params.k + s - 1u) * 2u + 1u];
    }
    for (var i = local; i < end; i += LANES) {
      if (scores[origin + i] == EXCLUDED) { continue; }
      let gp = gradient[origin + i] + rolling[w + params.length + i];
      let p = table[now + i];
      let away = select(gp - (sums.x + sums.y), others * gp - sums.x, i == largest);
      let dw = bitcast<f32>(out[origin + i]) + p * away * params.inverse;
      out[origin + i] = bitcast<u32>(dw);
      if (s > 0u) {
        let free = select(1.0 - table[now - params.length + i], beforeOthers, i == beforeLargest);
        rolling[w + params.length + i] = select(0.0, -dw / free, free > TINY);
      }
    }
    sync();
  }
}
