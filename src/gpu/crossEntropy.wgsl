// crossEntropy: log-sum-exp, mean loss and gradient of rows of logits that come in chunks of columns.
//
// The products that make logits (and use their gradient) are those of matmul.wgsl; what is here handles one chunk
// [rows, columns] of them at a time. Forward: `crossEntropyParts` finds the largest logit and the sum of exponentials for
// several parts of each row, `crossEntropyMerge` joins them to what earlier chunks gave (a sum is kept relative to the
// largest logit so far, and scaled when that grows), `crossEntropyFinish` takes the logarithm, `crossEntropySums` and
// `crossEntropyMean` add up the tokens in a fixed order. Backward: `crossEntropyGradient` turns a chunk of logits into
// their gradient in place.
//
// An implementation may assume that NaN and infinity do not occur, so these are looked for in the bits.
// Source: Milakov and Gimelshein (2018) for the merging of sums.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;  // invocations per workgroup, 1..256
override PER: u32 = 4u;              // columns per invocation of the gradient

struct Params {
  rows: u32,
  columns: u32,       // of this chunk
  firstColumn: u32,   // the word of the chunk's first column
  words: u32,
  parts: u32,         // per row
  isFirst: u32,       // 1: no chunk came before
  ignoreIndex: i32,
  hasDLse: u32,
  count: u32,         // tokens or sums that are added up
  partColumns: u32,   // neighbouring columns of a part; 0: a part takes every parts-th column
}

const INFINITY_BITS = 0x7f800000u;
const NAN_BITS = 0x7fc00000u;

// What the sum of a row, or of tokens, met.
const FINE = 0u;
const INFINITE = 1u;
const BAD = 2u;

struct State {
  top: f32,      // the largest logit so far
  sum: f32,      // sum of exp(logit - top); 0: no word yet
  picked: u32,   // bits of the logit of the target
  code: u32,
}

struct Token {
  loss: f32,
  count: u32,
  code: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;       // bits, [rows, columns]
@group(0) @binding(2) var<storage, read_write> parts: array<State>; // [rows, parts]

/// exp(logit - top), 0 where that is below all normal numbers; the difference itself could overflow.
fn weight(logit: f32, top: f32) -> f32 {
  if (logit < top - 100.0) { return 0.0; }
  // exp(0) need not be 1, and a sum may be scaled by it many times.
  if (logit == top) { return 1.0; }
  return exp(logit - top);
}

/// One invocation per (row, part). On a GPU neighbours own neighbouring columns, so that their accesses are adjacent; on a
/// CPU an invocation owns a run of columns, so that its own accesses are.
@compute @workgroup_size(WORKGROUP_SIZE)
fn crossEntropyParts(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id >= params.rows * params.parts) { return; }
  let first = id / params.parts * params.columns;
  let part = id % params.parts;
  let runs = params.partColumns > 0u;
  let start = select(part, part * params.partColumns, runs);
  let end = select(params.columns, min(start + params.partColumns, params.columns), runs);
  let stride = select(params.parts, 1u, runs);
  var top = 0.0;
  var found = false;
  var code = FINE;
  for (var j = start; j < end; j += stride) {
    let bits = logits[first + j];
    if ((bits & INFINITY_BITS) == INFINITY_BITS) {
      // -Infinity: no such word. NaN and +Infinity spoil the row.
      if (bits != (INFINITY_BITS | 0x80000000u)) { code = BAD; }
    } else {
      let logit = bitcast<f32>(bits);
      top = select(logit, max(top, logit), found);
      found = true;
    }
  }
  var sum = 0.0;
  for (var j = start; j < end; j += stride) {
    let bits = logits[first + j];
    if ((bits & INFINITY_BITS) != INFINITY_BITS) { sum += weight(bitcast<f32>(bits), top); }
  }
  parts[id] = State(top, sum, 0u, code);
}

@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read> partsOf: array<State>;
@group(0) @binding(4) var<storage, read_write> states: array<State>;  // [rows]

@compute @workgroup_size(WORKGROUP_SIZE)
fn crossEntropyMerge(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  var state = State(0.0, 0.0, 0u, FINE);
  if (params.isFirst == 0u) { state = states[row]; }
  var picked = state.picked;
  var code = state.code;
  var top = state.top;
  var found = state.sum > 0.0;
  let end = (row + 1u) * params.parts;
  for (var p = row * params.parts; p < end; p++) {
    let part = partsOf[p];
    code = max(code, part.code);
    if (part.sum > 0.0) {
      top = select(part.top, max(top, part.top), found);
      found = true;
    }
  }
  var sum = 0.0;
  if (state.sum > 0.0) { sum = state.sum * weight(state.top, top); }
  for (var p = row * params.parts; p < end; p++) {
    let part = partsOf[p];
    if (part.sum > 0.0) { sum += part.sum * weight(part.top, top); }
  }
  // A target that is no word wraps around to a large number and lies in no chunk.
  let column = u32(targets[row]) - params.firstColumn;
  if (column < params.columns) { picked = logits[row * params.columns + column]; }
  states[row] = State(top, sum, picked, code);
}

@group(0) @binding(1) var<storage, read> finished: array<State>;
@group(0) @binding(3) var<storage, read_write> lse: array<u32>;        // bits
@group(0) @binding(4) var<storage, read_write> tokens: array<Token>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn crossEntropyFinish(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                      @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (row >= params.rows) { return; }
  let state = finished[row];
  let bad = state.code == BAD || state.sum == 0.0;
  var value = 0.0;
  if (!bad) { value = state.top + log(state.sum); }
  lse[row] = select(bitcast<u32>(value), NAN_BITS, bad);
  let goal = targets[row];
  var token = Token(0.0, 0u, FINE);
  if (goal != params.ignoreIndex) {
    if (bad || goal < 0 || u32(goal) >= params.words) {
      token = Token(0.0, 1u, BAD);
    } else if ((state.picked & INFINITY_BITS) == INFINITY_BITS) {
      token = Token(0.0, 1u, INFINITE);
    } else {
      token = Token(value - bitcast<f32>(state.picked), 1u, FINE);
    }
  }
  tokens[row] = token;
}

// --- The mean over tokens: a tree of sums. ---

@group(0) @binding(1) var<storage, read> addends: array<Token>;
@group(0) @binding(2) var<storage, read_write> sums: array<Token>;

fn add(a: Token, b: Token) -> Token {
  return Token(a.loss + b.loss, a.count + b.count, max(a.code, b.code));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn crossEntropySums(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (id * 64u >= params.count) { return; }
  var sum = Token(0.0, 0u, FINE);
  for (var i = id * 64u; i < min((id + 1u) * 64u, params.count); i++) { sum = add(sum, addends[i]); }
  sums[id] = sum;
}

@group(0) @binding(2) var<storage, read_write> loss: array<u32>;       // bits
@group(0) @binding(3) var<storage, read_write> counted: array<u32>;

@compute @workgroup_size(1)
fn crossEntropyMean() {
  var sum = Token(0.0, 0u, FINE);
  for (var i = 0u; i < params.count; i++) { sum = add(sum, addends[i]); }
  counted[0] = sum.count;
  if (sum.code == BAD) { loss[0] = NAN_BITS; }
  else if (sum.code == INFINITE) { loss[0] = INFINITY_BITS; }
  else { loss[0] = bitcast<u32>(sum.loss / f32(max(sum.count, 1u))); }
}

// --- The gradient of a chunk of logits. ---

@group(0) @binding(1) var<storage, read> goals: array<i32>;
@group(0) @binding(2) var<storage, read> lseIn: array<f32>;
@group(0) @binding(3) var<storage, read> dLse: array<f32>;
@group(0) @binding(4) var<storage, read> dLoss: array<f32>;
@group(0) @binding(5) var<storage, read> countIn: array<i32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;     // in: bits of logits; out: bits of the gradient

/// What is the same for all columns of a row.
struct RowGradient {
  lse: f32,
  own: f32,      // dLoss / count, or 0 for an ignored token
  factor: f32,   // of the probabilities
  column: u32,   // of the target in this chunk, or beyond it
}

fn rowGradient(row: u32) -> RowGradient {
  let goal = goals[row];
  let counts = goal != params.ignoreIndex && goal >= 0 && u32(goal) < params.words;
  var own = 0.0;
  if (counts) { own = dLoss[0] / f32(max(countIn[0], 1)); }
  var factor = own;
  if (params.hasDLse != 0u) { factor += dLse[row]; }
  return RowGradient(lseIn[row], own, factor, u32(goal) - params.firstColumn);
}

fn gradientOf(bits: u32, column: u32, row: RowGradient) -> u32 {
  var g = 0.0;
  if ((bits & INFINITY_BITS) != INFINITY_BITS) { g = weight(bitcast<f32>(bits), row.lse) * row.factor; }
  if (column == row.column) { g -= row.own; }
  return bitcast<u32>(g);
}

/// A workgroup owns WORKGROUP_SIZE * PER columns of one row: what belongs to the row has a uniform address.
@compute @workgroup_size(WORKGROUP_SIZE)
fn crossEntropyGradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                        @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let across = (params.columns + WORKGROUP_SIZE * PER - 1u) / (WORKGROUP_SIZE * PER);
  let row = id / across;
  if (row >= params.rows) { return; }
  let own = rowGradient(row);
  let first = id % across * WORKGROUP_SIZE * PER + local;
  for (var step = 0u; step < PER; step++) {
    let column = first + step * WORKGROUP_SIZE;
    if (column >= params.columns) { return; }
    let at = row * params.columns + column;
    values[at] = gradientOf(values[at], column, own);
  }
}

@group(0) @binding(6) var<storage, read> given: array<u32>;
@group(0) @binding(7) var<storage, read_write> dLogits: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn crossEntropyLogitsGradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let across = (params.columns + WORKGROUP_SIZE * PER - 1u) / (WORKGROUP_SIZE * PER);
  let row = id / across;
  if (row >= params.rows) { return; }
  let own = rowGradient(row);
  let first = id % across * WORKGROUP_SIZE * PER + local;
  for (var step = 0u; step < PER; step++) {
    let column = first + step * WORKGROUP_SIZE;
    if (column >= params.columns) { return; }
    let at = row * params.columns + column;
    dLogits[at] = gradientOf(given[at], column, own);
  }
}
