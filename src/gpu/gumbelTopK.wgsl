// gumbelTopK: the kernels that read logits and add noise, and those that write the results. Logits are [rows, length].
//
// A selection as in topK.wgsl, with keys made on the fly: noise comes from the counter of an element (or from a tensor),
// the score is the sum, added in integers so that every device selects the same, and nothing of it is stored. Making a
// score costs some 300 operations; marking first bounds it from above by a few (`mayReach`), which turns away nearly all.
//
// These are serial: one invocation owns one (row, chunk) and runs over it alone; gumbelTopK.tiles.wgsl has those for
// GPUs. Source: Vieira, Gumbel-max trick and weighted reservoir sampling (2014); the selection as in topK.wgsl.
// @uses lib/grid.wgsl
// @uses lib/gumbelTopKKeys.wgsl
// @uses lib/logOneMinus.wgsl
// @uses lib/order.wgsl
// @uses lib/selection.wgsl

@group(0) @binding(6) var<storage, read_write> sample: array<i32>;       // [rows, sampleSize]: signed keys

/// Take the sample of a row: each of its keys is the largest of `draws` entries, one out of every `stride` each. Here a
/// chunk is one of the sample.
@compute @workgroup_size(WORKGROUP)
fn gumbelTopKSample(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                    @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let end = min((lane.chunk + 1u) * params.chunk, params.sampleSize);
  for (var s = lane.chunk * params.chunk; s < end; s++) {
    let place = lane.row * params.sampleSize + s;
    var largest = 0u;
    for (var draw = s * params.draws; draw < (s + 1u) * params.draws; draw++) {
      let index = drawnPosition(draw);
      if (inWindow(index)) { largest = max(largest, keyAt(lane.row, index)); }
    }
    // Windows come one after the other.
    if (params.first == 0u) { sample[place] = signedKey(largest); }
    else { sample[place] = max(sample[place], signedKey(largest)); }
  }
}

/// Count the digits of the whole row at a level.
@compute @workgroup_size(WORKGROUP)
fn gumbelTopKCount(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  if (params.attempt == BY_COUNTING && !mustRetry(row)) { return; }
  let chunk = id % (params.chunks / WORKGROUP) * WORKGROUP + local;
  let picked = pickBefore(row, params.level, chunk == 0u);
  let first = chunk * params.chunk;
  if (picked.y == 0u || !inWindow(first)) { return; }
  let place = digitPlace(row, params.level);
  let end = min(first + params.chunk, params.length);
  for (var i = first; i < end; i++) {
    let key = keyAt(row, i);
    if (hasPrefix(key, picked.x, params.level)) { atomicAdd(&digits[place + digitOf(key, params.level)], 1u); }
  }
}

@group(0) @binding(6) var<storage, read_write> marks: array<u32>;        // [rows, words]: one bit per entry
@group(0) @binding(7) var<storage, read_write> tallies: array<vec2u>;    // [rows, chunks]: see mark, decide
@group(0) @binding(8) var<storage, read_write> candidates: array<vec2u>; // [rows, room]: (key, index)

/// Mark every entry that reaches the threshold, one bit each, and tally (above, at) per chunk.
@compute @workgroup_size(WORKGROUP)
fn gumbelTopKMark(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let lane = laneOf(id, local, params.chunks);
  if (!lane.works) { return; }
  if (params.attempt == BY_COUNTING && !mustRetry(lane.row)) { return; }
  var threshold = 1u;
  if (params.chunks > 1u) { threshold = thresholdFor(rowOfGroup(id, params.chunks)); }
  else { threshold = thresholdFor(lane.row); }
  if (lane.chunk == 0u) { state[lane.row * STATE + THRESHOLD] = threshold; }
  let mine = lane.row * params.chunks + lane.chunk;
  let first = lane.chunk * params.chunk;
  if (first >= params.length) { tallies[mine] = vec2u(0u); }
  if (first >= params.length || !inWindow(first)) { return; }
  let least = leastOf(threshold);
  let end = min(first + params.chunk, params.length);
  var above = 0u;
  var at = 0u;
  for (var start = first; start < end; start += 32u) {
    var bits = 0u;
    for (var j = 0u; j < min(32u, end - start); j++) {
      bits |= select(0u, 1u, !least.bounded || mayReach(lane.row, start + j, least.value)) << j;
    }
    // Few are left, at other places in every lane; a loop over these keeps the lanes together.
    var left = bits;
    while (left != 0u) {
      let j = firstTrailingBit(left);
      left &= left - 1u;
      let key = keyAt(lane.row, start + j);
      bits ^= select(0u, 1u, key < threshold) << j;
      at += select(0u, 1u, key == threshold);
    }
    marks[wordOf(lane.row, lane.chunk, (start - first) / 32u)] = bits;
    above += countOneBits(bits);
  }
  tallies[mine] = vec2u(above - at, at);
}

/// Collect the candidates of every chunk, by ascending index: all above the threshold, and the ties that are wanted.
/// Leaves the chunk's largest key in its tally.
@compute @workgroup_size(WORKGROUP)
fn gumbelTopKCollect(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let first = lane.chunk * params.chunk;
  let mine = lane.row * params.chunks + lane.chunk;
  if (first >= params.length) { tallies[mine].y = 0u; }
  if (first >= params.length || !inWindow(first)) { return; }
  let threshold = state[lane.row * STATE + THRESHOLD];
  var place = lane.row * params.room + tallies[mine].x;
  var ties = tallies[mine].y;
  var largest = 0u;
  let end = min(first + params.chunk, params.length);
  for (var start = first; start < end; start += 32u) {
    var bits = marks[wordOf(lane.row, lane.chunk, (start - first) / 32u)];
    while (bits != 0u) {
      let index = start + firstTrailingBit(bits);
      bits &= bits - 1u;
      let key = keyAt(lane.row, index);
      if (key == threshold) {
        if (ties == 0u) { continue; }
        ties--;
      }
      candidates[place] = vec2u(key, index);
      place++;
      largest = max(largest, key);
    }
  }
  tallies[mine].y = largest;
}

@group(0) @binding(5) var<storage, read_write> found: array<u32>;        // [rows]
@group(0) @binding(6) var<storage, read_write> best: array<vec2u>;       // [rows, room]: (key, index) in order
@group(0) @binding(7) var<storage, read_write> bestScores: array<u32>;
@group(0) @binding(8) var<storage, read_write> bestIndices: array<u32>;

/// Write a block of the k + 1 best: indices, scores (NaN where the input is refused), and how many there are.
@compute @workgroup_size(WORKGROUP)
fn gumbelTopK(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let own = resultOf(linearGroup(group, groups), local);
  if (!own.works) { return; }
  let row = own.row;
  let j = own.slot;
  let here = min(state[row * STATE + FOUND], params.k);
  // A row that ran out in an earlier block has its count already.
  if (j == 0u && (here > 0u || params.slot == 0u)) { found[params.countOrigin + row] = params.slot + here; }
  let place = resultPlace(row, params.slot + j);
  if (place >= params.outLength) { return; }
  if (j >= here) {
    bestIndices[place] = 0xffffffffu;
    bestScores[place] = NEG_INF_BITS;
  } else {
    let entry = best[row * params.room + j];
    bestIndices[place] = entry.y;
    bestScores[place] = scoreOf(entry.x);
  }
}

// --- From the k + 1 best to the results ---

struct ResultParams {
  rows: u32,
  k: u32,
  more: u32,       // entries per row of the best: k + 1, or k = length
  length: u32,     // logits per row
  start: u32,      // threshold, hot: number of the first element in the bound window
  room: u32,       // and how many it holds
  out: u32,        // weights, hot: number of the first result in the bound windows
  outCount: u32,   // and how many they hold, and
  outOrigin: u32,  // where in them
  bestOrigin: u32, // weights: where the first of the best that belong to them lies in its window
  row: u32,        // weights: the window of logits: rows from here,
  first: u32,      // of each the entries from here,
  count: u32,      // as many as this,
  origin: u32,     // and where the first lies
}

@group(0) @binding(0) var<uniform> result: ResultParams;
@group(0) @binding(1) var<storage, read> scoresOfBest: array<u32>;
@group(0) @binding(2) var<storage, read> foundOfRow: array<u32>;
@group(0) @binding(3) var<storage, read_write> threshold: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<i32>;

/// threshold and counts of every row, as far as its first and its (k+1)-th best lie in the bound window.
@compute @workgroup_size(WORKGROUP)
fn gumbelTopKThreshold(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                       @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP + local;
  if (row >= result.rows) { return; }
  let head = row * result.more - result.start;   // wraps around, and is then too large, for places before the window
  if (result.more == 0u) {
    counts[row] = 0;
    threshold[row] = NEG_INF_BITS;
  } else if (head < result.room) {
    let bad = scoresOfBest[head] == NAN_BITS;
    counts[row] = select(i32(min(foundOfRow[row], result.k)), -1, bad);
    threshold[row] = select(NEG_INF_BITS, NAN_BITS, bad);
  }
  // The windows come in order, so the count is there already.
  let next = head + result.k;
  if (result.more > result.k && next < result.room && foundOfRow[row] > result.k && counts[row] >= 0) {
    threshold[row] = scoresOfBest[next];
  }
}

@group(0) @binding(1) var<storage, read> logitsAgain: array<u32>;
@group(0) @binding(2) var<storage, read> indicesOfBest: array<u32>;
@group(0) @binding(3) var<storage, read> bestOfRow: array<u32>;               // scores
@group(0) @binding(4) var<storage, read> thresholdOfRow: array<u32>;
@group(0) @binding(5) var<storage, read> countOfRow: array<i32>;
@group(0) @binding(6) var<storage, read_write> indices: array<u32>;
@group(0) @binding(7) var<storage, read_write> scores: array<u32>;
@group(0) @binding(8) var<storage, read_write> logInclusion: array<u32>;

/// log(1 - exp(-e^z)), the log of the probability that a Gumbel exceeds -z.
fn logSurvival(z: f32) -> f32 {
  let y = exp(min(z, 5.0));   // beyond 5 the result is 0 to all digits of f32
  if (y < 1.0) { return z - y * (0.5 - y * (0.041666667 - y * y * (3.4722222e-4 - y * y * 5.5114638e-6))); }
  return logOneMinus(exp(-y));
}

/// The results of every slot; logInclusion as far as its logit lies in the bound window.
@compute @workgroup_size(WORKGROUP)
fn gumbelTopKWeights(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                     @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP + local;
  if (id >= result.outCount) { return; }
  let number = result.out + id;
  let row = number / result.k;
  let slot = number % result.k;
  let at = result.outOrigin + id;
  let among = result.bestOrigin + id + (row - result.out / result.k) * (result.more - result.k);
  let count = countOfRow[row];
  if (count < 0) {
    indices[at] = 0xffffffffu;
    scores[at] = NAN_BITS;
    logInclusion[at] = NAN_BITS;
  } else if (slot >= u32(count)) {
    indices[at] = 0xffffffffu;
    scores[at] = NEG_INF_BITS;
    logInclusion[at] = 0u;
  } else {
    let index = indicesOfBest[among];
    indices[at] = index;
    scores[at] = bestOfRow[among];
    let kappa = thresholdOfRow[row];
    let place = index - result.first;   // too large if it is before the window
    if (kappa == NEG_INF_BITS) { logInclusion[at] = 0u; }
    else if (row >= result.row && row - result.row < result.rows && index >= result.first && place < result.count) {
      let logit = bitcast<f32>(logitsAgain[result.origin + (row - result.row) * result.length + place]);
      logInclusion[at] = bitcast<u32>(logSurvival(logit - bitcast<f32>(kappa)));
    }
  }
}

@group(0) @binding(1) var<storage, read> chosen: array<u32>;                  // indices
@group(0) @binding(2) var<storage, read_write> kHot: array<f32>;              // cleared before

@compute @workgroup_size(WORKGROUP)
fn gumbelTopKHot(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * WORKGROUP + local;
  if (id >= result.outCount) { return; }
  let index = chosen[result.outOrigin + id];
  if (index == 0xffffffffu) { return; }
  let place = (result.out + id) / result.k * result.length + index - result.start;
  if (place < result.room) { kHot[place] = 1.0; }
}
