// The threshold relaxations of gumbelTopK and smoothTopK: p[i] = f((score[i] - lambda) / temperature) with sum p = k per row, and the
// product of their Jacobian with a gradient.
//
// In s = e^-lambda each term f is concave and grows, for all f but clip. So from the right end of a bracket Newton's method
// gives a better right end, and the chord between both ends gives a better left end. One pass over the row evaluates
// the sum and its slope at four points: these two, and two between them; five passes were enough in all trials.
//
// Scores are taken relative to the k-th largest of their row (the differences are stored), and lambda as well: near
// lambda the differences are small, so f32 resolves them whatever is added to all logits.
//
// Sums run over LANES interleaved invocations, 32 elements at a time, so that rounding errors grow with 32 + chunk / 32
// and not with the chunk. With TILES a workgroup adds up its invocations; without, each leaves a sum of its own (barriers
// are what a CPU cannot afford; a driver drops those that an override switches off).
// @uses lib/addBits.wgsl
// @uses lib/grid.wgsl
// @uses lib/gumbel.wgsl

override LANES: u32 = 8u;    // invocations per workgroup, a power of two up to 64
override TILES: bool = false;
override KIND: u32 = 0u;     // f: 0 min(1, e^y), 1 the sigmoid, 2 the distribution function of Laplace, 3 clip(y, 0, 1)
override PER: u32 = 16u;     // elements per invocation of the elementwise kernels

override SOURCE: u32 = 0u;   // of the noise
const SOURCE_NONE = 0u;
const SOURCE_KEY = 1u;
const EXCLUDED = 0xff800000u;   // bits of -infinity: a position that takes no part
const REFUSED = 0x7f800000u;    // bits of +infinity: NaN or infinity in the input
const NAN_BITS = 0x7fc00000u;

const RUNNING = 0u;
const DONE = 1u;
const CONSTANT = 2u;            // k is 0, or reaches what takes part: all zeros, or all ones
const BAD = 3u;                 // the row holds a refused input

struct Params {
  rows: u32,         // rows of this window
  row: u32,          // the first of them
  length: u32,       // elements per row
  first: u32,        // this window holds the elements first .. first + count of its rows
  count: u32,
  origin: u32,       // where element `first` of the first row lies in the window
  chunk: u32,        // elements per chunk
  chunks: u32,       // chunks per row, over all windows
  k: u32,
  step: u32,         // number of the pass
  temperature: f32,
  inverse: f32,      // 1 / temperature
  masked: u32,
  key0: u32,
  key1: u32,
  baseHigh: u32,     // 64-bit position of the window's first element
  baseLow: u32,
  slots: u32,        // entries of dKHot per row, when they come with indices
}

@group(0) @binding(0) var<uniform> params: Params;

// --- scores ---

@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read> noise: array<u32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> scores: array<u32>;

/// scores = logits + noise, as bits; or why there is none. Here the window is a line of `count` elements.
@compute @workgroup_size(LANES)
fn thresholdScores(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let start = linearGroup(group, groups) * LANES * PER + local;
  for (var step = 0u; step < PER; step++) {
    let i = start + step * LANES;
    if (i < params.count) {
      let bits = logits[i];
      var out = bits;
      if (SOURCE == SOURCE_KEY) {
        out = addBits(bits, gumbelBits(vec2u(params.key0, params.key1), counterAt(vec2u(params.baseHigh, params.baseLow), i)));
      } else if (SOURCE != SOURCE_NONE) {
        out = select(addBits(bits, noise[i]), REFUSED, (noise[i] & REFUSED) == REFUSED);
      }
      let infinite = (bits & REFUSED) == REFUSED || (out & REFUSED) == REFUSED;
      let excluded = bits == EXCLUDED || (params.masked != 0u && mask[i] == 0u);
      scores[i] = select(select(out, REFUSED, infinite), EXCLUDED, excluded);
    }
  }
}

// --- solving for lambda ---

struct Row {
  status: u32,
  base: f32,        // the k-th largest score; lambda and its bracket are relative to it
  lambda: f32,      // the best so far
  miss: f32,        // |sum - k| there
  high: f32,        // the bracket: sum(high) <= k <= sum(low)
  highSum: f32,
  highSlope: f32,
  low: f32,
  lowSum: f32,
  slope: f32,       // sum of w at lambda
  mean: f32,        // sum of w g / sum of w
  lowSlope: f32,
  points: vec4f,    // where the next pass evaluates
}

struct Sums { value: vec4f, slope: vec4f }

@group(0) @binding(1) var<storage, read> largest: array<u32>;             // [rows, min(k + 1, length)]: the best scores
@group(0) @binding(2) var<storage, read_write> rowStates: array<Row>;

/// Bracket lambda by the k-th and the (k+1)-th score: what is above counts at most 1 each, what is below at most as much
/// as the (k+1)-th.
@compute @workgroup_size(LANES)
fn thresholdBegin(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * LANES + local;
  if (i >= params.rows) { return; }
  let best = i * min(params.k + 1u, params.length);
  var row = Row();
  if (largest[best] == REFUSED) { row.status = BAD; }
  else if (params.k == 0u || params.k == params.length || largest[best + params.k] == EXCLUDED) {
    row.status = CONSTANT;
  } else {
    let k = f32(params.k);
    let rest = f32(params.length - params.k);
    let t = params.temperature;
    row.base = bitcast<f32>(largest[best + params.k - 1u]);
    let gap = bitcast<f32>(largest[best + params.k]) - row.base;
    if (KIND == 0u) {
      row.low = 0.0;
      row.high = t * log(rest + 1.0);
    } else if (KIND == 1u) {
      row.low = gap - t * log(k);
      row.high = t * log(rest);
    } else if (KIND == 3u) {
      // At -t the k largest count 1; from the (k+1)-th score on only they count. Apart by more than t: at both.
      row.low = -t;
      row.high = max(gap, -t);
    } else {
      row.low = gap - t * log(0.5 * (k + 1.0));
      row.high = t * log(0.5 * (rest + 1.0));
    }
    // Wider by more than the errors of log.
    let margin = t * 1e-5;
    row.low -= margin + abs(row.low) * 1e-5;
    row.high += margin + abs(row.high) * 1e-5;
    row.miss = 3e38;
    let span = row.high - row.low;
    row.points = vec4f(row.high, row.low + span * 0.6666667, row.low + span * 0.3333333, row.low);
  }
  rowStates[params.row + i] = row;
}

@group(0) @binding(1) var<storage, read> states: array<Row>;
@group(0) @binding(2) var<storage, read_write> values: array<u32>;        // scores; from the first pass on: minus base
@group(0) @binding(3) var<storage, read_write> partials: array<Sums>;     // [rows, chunks (, LANES)]

/// y = (difference - lambda) / temperature; beyond +-100 nothing changes any more.
fn scaled(difference: f32, lambda: vec4f) -> vec4f {
  let limit = vec4f(100.0 * params.temperature);
  return clamp(vec4f(difference) - lambda, -limit, limit) * params.inverse;
}

fn valueOf(y: vec4f, e: vec4f) -> vec4f {   // e = exp(-|y|)
  if (KIND == 0u) { return select(vec4f(1.0), e, y < vec4f(0.0)); }
  if (KIND == 1u) { return select(vec4f(1.0), e, y < vec4f(0.0)) / (1.0 + e); }
  if (KIND == 3u) { return clamp(y, vec4f(0.0), vec4f(1.0)); }
  return select(1.0 - 0.5 * e, 0.5 * e, y < vec4f(0.0));
}

fn slopeOf(y: vec4f, e: vec4f) -> vec4f {
  if (KIND == 0u) { return select(vec4f(0.0), e, y < vec4f(0.0)); }
  if (KIND == 1u) { return e / ((1.0 + e) * (1.0 + e)); }
  if (KIND == 3u) { return select(vec4f(0.0), vec4f(1.0), (y > vec4f(0.0)) & (y < vec4f(1.0))); }
  return 0.5 * e;
}

struct Piece { row: u32, chunk: u32, end: u32, origin: u32 }

/// What a workgroup owns: a chunk of a row. Chunks count over all windows; windows begin and end with whole chunks.
fn pieceOf(group: u32) -> Piece {
  let here = (params.count + params.chunk - 1u) / params.chunk;
  let row = group / here;
  let start = group % here * params.chunk;
  let origin = params.origin + row * params.length + start;
  return Piece(row, params.first / params.chunk + group % here, min(params.chunk, params.count - start), origin);
}

fn piecesHere() -> u32 { return params.rows * ((params.count + params.chunk - 1u) / params.chunk); }

/// One invocation's sums over its share of a piece, every LANES-th element.
fn sumPiece(piece: Piece, local: u32) -> Sums {
  let row = states[params.row + piece.row];
  var total = Sums(vec4f(0.0), vec4f(0.0));
  var start = local;
  while (start < piece.end) {
    var part = Sums(vec4f(0.0), vec4f(0.0));
    let stop = min(start + 32u * LANES, piece.end);
    for (var i = start; i < stop; i += LANES) {
      let at = piece.origin + i;
      let bits = values[at];
      if (bits != EXCLUDED) {
        var difference = bitcast<f32>(bits);
        if (params.step == 0u) {
          difference -= row.base;
          values[at] = bitcast<u32>(difference);
        }
        let y = scaled(difference, row.points);
        let e = exp(-abs(y));
        part.value += valueOf(y, e);
        part.slope += slopeOf(y, e);
      }
    }
    total.value += part.value;
    total.slope += part.slope;
    start += 32u * LANES;
  }
  return total;
}

var<workgroup> tile: array<Sums, 64>;

/// The sum over the invocations of a workgroup, in all of them.
fn sumTile(local: u32, mine: Sums) -> Sums {
  tile[local] = mine;
  workgroupBarrier();
  for (var d = LANES / 2u; d > 0u; d /= 2u) {
    if (local < d) {
      tile[local].value += tile[local + d].value;
      tile[local].slope += tile[local + d].slope;
    }
    workgroupBarrier();   // all have added before any adds further
  }
  return tile[0];
}

/// Leave the sum of a piece, or of each invocation's share of it.
fn leave(piece: Piece, local: u32, mine: Sums) {
  let at = (params.row + piece.row) * params.chunks + piece.chunk;
  if (TILES) {
    let total = sumTile(local, mine);
    if (local == 0u) { partials[at] = total; }
  } else {
    partials[at * LANES + local] = mine;
  }
}

@compute @workgroup_size(LANES)
fn thresholdSum(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= piecesHere()) { return; }   // uniform: a whole workgroup leaves
  let piece = pieceOf(id);
  if (states[params.row + piece.row].status != RUNNING) { return; }
  leave(piece, local, sumPiece(piece, local));
}

@group(0) @binding(1) var<storage, read> sums: array<Sums>;

/// The sum of a row's partial sums, in every invocation of the workgroup; without TILES, of each invocation's own row.
fn sumRow(row: u32, local: u32) -> Sums {
  let count = params.chunks * select(LANES, 1u, TILES);
  let stride = select(1u, LANES, TILES);
  var total = Sums(vec4f(0.0), vec4f(0.0));
  var start = select(0u, local, TILES);
  while (start < count) {
    var part = Sums(vec4f(0.0), vec4f(0.0));
    for (var i = start; i < min(start + 32u * stride, count); i += stride) {
      part.value += sums[row * count + i].value;
      part.slope += sums[row * count + i].slope;
    }
    total.value += part.value;
    total.slope += part.slope;
    start += 32u * stride;
  }
  if (TILES) { total = sumTile(local, total); }
  return total;
}

/// The row of an invocation that works on a row: a workgroup's with TILES, else its own.
fn rowOf(group: u32, local: u32) -> u32 { return select(group * LANES + local, group, TILES); }

/// log(1 + x) for x > -1, which log alone loses near 0: 2 atanh(x / (2 + x)).
fn logOnePlus(x: f32) -> f32 {
  let z = x / (2.0 + x);
  let s = z * z;
  let series = 2.0 * z * (1.0 + s * (0.33333333 + s * (0.2 + s * 0.14285714)));
  return select(log(1.0 + x), series, abs(x) < 0.25);
}

/// Take in the four evaluations, tighten the bracket, and choose where to evaluate next.
fn advance(i: u32, four: Sums) {
  var row = rowStates[i];
  let k = f32(params.k);
  for (var j = 0u; j < 4u; j++) {
    let at = row.points[j];
    let sum = four.value[j];
    if (abs(sum - k) < row.miss) {
      row.miss = abs(sum - k);
      row.lambda = at;
      row.slope = four.slope[j];
    }
    if (sum <= k && at <= row.high) {
      row.high = at;
      row.highSum = sum;
      row.highSlope = four.slope[j];
    }
    if (sum >= k && at >= row.low) {
      row.low = at;
      row.lowSum = sum;
      row.lowSlope = four.slope[j];
    }
  }
  let t = params.temperature;
  let width = row.high - row.low;
  // Within the rounding of the sums, or of lambda.
  if (row.miss <= k * 4.8e-7 || width <= 2.4e-7 * max(max(abs(row.high), abs(row.low)), 0.1 * t)) {
    row.status = DONE;
  } else if (KIND == 3u) {
    // Linear between bends: Newton's method from both ends is exact once no bend is left between them, the chord and the
    // middle make sure that it comes to that.
    let middle = 0.5 * (row.low + row.high);
    var four = vec4f(middle);
    if (row.highSlope > 0.0) { four.x = row.high - t * (k - row.highSum) / row.highSlope; }
    if (row.lowSlope > 0.0) { four.y = row.low + t * (row.lowSum - k) / row.lowSlope; }
    if (row.lowSum > row.highSum) { four.z = row.high - width * (k - row.highSum) / (row.lowSum - row.highSum); }
    row.points = clamp(four, vec4f(row.low), vec4f(row.high));
  } else {
    var right = row.high;
    var left = row.low;
    if (row.highSlope > 0.0) { right = row.high - t * logOnePlus(max(k - row.highSum, 0.0) / row.highSlope); }
    // The chord in s: between e^-high and e^-low, at the share of the way that the sums say.
    let share = (k - row.highSum) / (row.lowSum - row.highSum);
    if (share > 0.0 && share < 1.0) {
      let ratio = width * params.inverse;
      if (ratio > 60.0) { left = row.low - t * log(share); }
      else { left = row.high - t * logOnePlus(share * (exp(ratio) - 1.0)); }
    }
    if (!(right >= row.low && right <= row.high)) { right = row.high; }
    if (!(left >= row.low && left <= row.high)) { left = row.low; }
    let high = max(left, right);
    let low = min(left, right);
    let span = high - low;
    // Far apart the ends are flat and far from the root: look near them.
    let near = select(span / 3.0, 4.0 * sqrt(span * t), span > 64.0 * t);
    row.points = vec4f(high, high - near, low + near, low);
  }
  rowStates[i] = row;
}

@compute @workgroup_size(LANES)
fn thresholdStep(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let i = rowOf(linearGroup(group, groups), local);
  // Rows that are done have old sums, which do no harm; barriers allow no early way out.
  let four = sumRow(min(i, params.rows - 1u), local);
  let mine = i < params.rows && (!TILES || local == 0u);
  if (mine && rowStates[i].status == RUNNING) { advance(i, four); }
}

// --- the relaxation itself ---

/// values = f, in place of the differences.
@compute @workgroup_size(LANES)
fn thresholdValues(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= piecesHere()) { return; }
  let piece = pieceOf(id);
  let row = states[params.row + piece.row];
  for (var i = local; i < piece.end; i += LANES) {
    let at = piece.origin + i;
    let bits = values[at];
    var out = NAN_BITS;
    if (row.status == CONSTANT) { out = select(0x3f800000u, 0u, params.k == 0u || bits == EXCLUDED); }
    else if (row.status != BAD) {
      let y = scaled(bitcast<f32>(select(bits, 0u, bits == EXCLUDED)), vec4f(row.lambda));
      out = select(bitcast<u32>(valueOf(y, exp(-abs(y))).x), 0u, bits == EXCLUDED);
    }
    values[at] = out;
  }
}

// --- its gradient: w (g - mean) / temperature, with mean = sum of w g / sum of w ---
// dKHot has the shape of the scores, or (SPARSE) it comes with indices, and w is first gathered for its slots.

override SPARSE: bool = false;

@group(0) @binding(2) var<storage, read> gradient: array<f32>;                // dKHot
@group(0) @binding(3) var<storage, read> indices: array<i32>;                 // [rows, slots]
@group(0) @binding(4) var<storage, read> differences: array<u32>;             // what `thresholdSum` left in the scores
@group(0) @binding(5) var<storage, read_write> slotSlopes: array<f32>;        // [rows, slots]

/// w of a position, from its difference.
fn slopeAt(bits: u32, lambda: f32) -> f32 {
  if (bits == EXCLUDED) { return 0.0; }
  let y = scaled(bitcast<f32>(bits), vec4f(lambda));
  return slopeOf(y, exp(-abs(y))).x;
}

/// slotSlopes = w at the indices that lie in this window.
@compute @workgroup_size(LANES)
fn thresholdSlots(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * LANES + local;
  if (id >= params.rows * params.slots) { return; }
  let row = id / params.slots;
  let slot = params.row * params.slots + id;
  let index = indices[slot];
  let inside = index >= 0 && u32(index) >= params.first && u32(index) - params.first < params.count;
  let state = states[params.row + row];
  if (index < 0) { slotSlopes[slot] = 0.0; }
  if (inside) {
    let bits = differences[params.origin + row * params.length + u32(index) - params.first];
    slotSlopes[slot] = select(0.0, slopeAt(bits, state.lambda), state.status == DONE || state.status == RUNNING);
  }
}

@group(0) @binding(3) var<storage, read> weights: array<u32>;                 // differences, or slotSlopes (SPARSE)
@group(0) @binding(4) var<storage, read_write> products: array<Sums>;         // [rows, chunks (, LANES)]

/// Sums of w g, per piece; with SPARSE a row is one of slots.
@compute @workgroup_size(LANES)
fn thresholdDot(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= piecesHere()) { return; }   // uniform: a whole workgroup leaves
  let piece = pieceOf(id);
  let lambda = states[params.row + piece.row].lambda;
  var total = 0.0;
  var start = local;
  while (start < piece.end) {
    var part = 0.0;
    for (var i = start; i < min(start + 32u * LANES, piece.end); i += LANES) {
      let bits = weights[piece.origin + i];
      var w = bitcast<f32>(bits);
      if (!SPARSE) { w = slopeAt(bits, lambda); }
      part += w * gradient[piece.origin + i];
    }
    total += part;
    start += 32u * LANES;
  }
  var mine = Sums(vec4f(total, 0.0, 0.0, 0.0), vec4f(0.0));
  if (TILES) { mine = sumTile(local, mine); }
  let at = (params.row + piece.row) * params.chunks + piece.chunk;
  if (!TILES) { products[at * LANES + local] = mine; }
  else if (local == 0u) { products[at] = mine; }
}

@compute @workgroup_size(LANES)
fn thresholdMean(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let i = rowOf(linearGroup(group, groups), local);
  let total = sumRow(min(i, params.rows - 1u), local).value.x;
  let mine = i < params.rows && (!TILES || local == 0u);
  // Where all entries are saturated nothing moves: the mean does not matter then, since every w is 0.
  if (mine && rowStates[i].slope > 0.0) { rowStates[i].mean = total / rowStates[i].slope; }
}

@group(0) @binding(3) var<storage, read_write> inPlace: array<u32>;           // differences in, dLogits out

@compute @workgroup_size(LANES)
fn thresholdGradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  if (id >= piecesHere()) { return; }
  let piece = pieceOf(id);
  let row = states[params.row + piece.row];
  for (var i = local; i < piece.end; i += LANES) {
    let at = piece.origin + i;
    var out = select(NAN_BITS, 0u, row.status == CONSTANT);
    if (row.status == DONE || row.status == RUNNING) {
      var g = 0.0;
      if (!SPARSE) { g = gradient[at]; }
      out = bitcast<u32>(slopeAt(inPlace[at], row.lambda) * (g - row.mean) * params.inverse);
    }
    inPlace[at] = out;
  }
}

@group(0) @binding(1) var<storage, read> slopes: array<f32>;                  // slotSlopes
@group(0) @binding(4) var<storage, read_write> dLogits: array<f32>;

/// Add w g / temperature where indices point; they are distinct, so no two invocations meet.
@compute @workgroup_size(LANES)
fn thresholdScatter(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * LANES + local;
  if (id >= params.rows * params.slots) { return; }
  let slot = params.row * params.slots + id;
  let index = indices[slot];
  let inside = index >= 0 && u32(index) >= params.first && u32(index) - params.first < params.count;
  if (inside && slopes[slot] != 0.0) {
    let at = params.origin + id / params.slots * params.length + u32(index) - params.first;
    dLogits[at] += slopes[slot] * gradient[slot] * params.inverse;
  }
}
