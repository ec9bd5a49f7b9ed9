// topK: the kernels that read x, and the one that writes the results. x is seen as [outer, length, inner].
//
// Serial kernels: one invocation owns one (row, chunk) and runs over it alone, without barriers or shared memory.
// Source: radix selection (Alabi et al., Fast k-selection algorithms for graphics processing units, 2012) behind a
// threshold from a sample (Floyd and Rivest, 1975).
// @uses lib/order.wgsl
// @uses lib/grid.wgsl
// @uses lib/selection.wgsl

override VECTOR: bool = false;   // rows are contiguous and start at multiples of 4 elements; no mask, no earlier block

@group(0) @binding(1) var<storage, read> x: array<u32>;         // bits of f32
@group(0) @binding(2) var<storage, read> x4: array<vec4u>;      // the same window
@group(0) @binding(3) var<storage, read> mask: array<u32>;

@group(0) @binding(6) var<storage, read_write> sampleKeys: array<u32>;   // [rows, sampleSize]
@group(0) @binding(6) var<storage, read_write> marks: array<u32>;        // [rows, words]: one bit per entry
@group(0) @binding(7) var<storage, read_write> tallies: array<vec2u>;    // [rows, chunks]: see mark, decide
@group(0) @binding(8) var<storage, read_write> candidates: array<vec2u>; // [rows, capacity]: (key, index)

/// Larger is better; NaN is 1, below every number; 0 is left for "not a candidate".
fn selectionKey(bits: u32) -> u32 {
  let key = orderKey(bits);
  return select(select(~key, key, params.largest == 1u), 1u, key == 0xffffffffu);
}

fn selectionKeys(bits: vec4u) -> vec4u {
  return vec4u(selectionKey(bits.x), selectionKey(bits.y), selectionKey(bits.z), selectionKey(bits.w));
}

/// Where an entry lies in the bound window.
fn placeOf(row: u32, index: u32) -> u32 {
  return params.origin + row / params.width * (params.length * params.inner) + row % params.width
       + (index - params.first) * params.inner;
}

/// The key of an entry of the bound window, 0 if it cannot be selected.
fn keyAt(row: u32, index: u32) -> u32 {
  if (params.maskInner != 0u) {
    let column = select(row % params.width, 0u, params.maskInner != params.inner);
    let place = (row / params.width * params.length + index - params.first) * params.maskInner + column;
    if (mask[params.maskOrigin + place] == 0u) { return 0u; }
  }
  let key = selectionKey(x[placeOf(row, index)]);
  if (params.after != 0u) {
    let last = row * STATE;
    if (!comesBefore(state[last + LAST_KEY], state[last + LAST_INDEX], key, index)) { return 0u; }
  }
  return key;
}

/// The word of marks for 32 entries of a chunk.
fn wordOf(lane: Lane, within: u32) -> u32 {
  return lane.row * params.words + lane.chunk * ((params.chunk + 31u) / 32u) + within / 32u;
}

fn inWindow(index: u32) -> bool { return index >= params.first && index - params.first < params.count; }

/// Scrambles a number, so that a sample does not keep step with the data (the finalizer of MurmurHash3).
fn scramble(n: u32) -> u32 {
  var h = n;
  h = (h ^ (h >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

/// Take one entry out of every `stride`, and count the leading digits. Here a chunk is one of the sample.
@compute @workgroup_size(EIGHT)
fn topKSample(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let place = digitPlace(lane.row, 0u, 0u);
  let end = min((lane.chunk + 1u) * params.chunk, params.sampleSize);
  for (var s = lane.chunk * params.chunk; s < end; s++) {
    let index = s * params.stride + scramble(s) % params.stride;
    if (inWindow(index)) {
      let key = keyAt(lane.row, index);
      sampleKeys[lane.row * params.sampleSize + s] = key;
      if (key != 0u) { atomicAdd(&digits[place + digitOf(key, 0u)], 1u); }
    }
  }
}

/// Guess the threshold of a short row: the rank-th largest key of a small sample, by insertion. One invocation per row.
@compute @workgroup_size(EIGHT)
fn topKGuess(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * EIGHT + local;
  if (row >= params.rows) { return; }
  var best: array<u32, 32>;   // the largest keys so far, descending; rank <= 32
  for (var s = 0u; s < params.length / params.stride; s++) {
    let key = keyAt(row, s * params.stride + scramble(s) % params.stride);
    if (key > best[params.rank - 1u]) {
      var j = params.rank - 1u;
      while (j > 0u && best[j - 1u] < key) {
        best[j] = best[j - 1u];
        j--;
      }
      best[j] = key;
    }
  }
  state[row * STATE + THRESHOLD] = best[params.rank - 1u];
}

/// Count the digits of the whole row at a level, for rows whose sample misled.
@compute @workgroup_size(EIGHT)
fn topKCount(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  if (params.attempt == 1u && state[row * STATE + STATUS] != RETRY) { return; }
  let chunk = id % (params.chunks / EIGHT) * EIGHT + local;
  let picked = pickBefore(row, params.attempt, params.level, chunk == 0u);
  let first = chunk * params.chunk;
  if (picked.y == 0u || !inWindow(first)) { return; }
  let place = digitPlace(row, params.attempt, params.level);
  let end = min(first + params.chunk, params.length);
  for (var i = first; i < end; i++) {
    let key = keyAt(row, i);
    if (hasPrefix(key, picked.x, params.level)) { atomicAdd(&digits[place + digitOf(key, params.level)], 1u); }
  }
}

/// Mark every entry that reaches the threshold, one bit each, and tally (above, at) per chunk.
@compute @workgroup_size(EIGHT)
fn topKMark(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let lane = laneOf(id, local, params.chunks);
  if (!lane.works) { return; }
  let own = lane.row * STATE;
  if (params.attempt == 1u && state[own + STATUS] != RETRY) { return; }
  // Without a sample to count, the state holds a guess, or 0: take everything, as for a guess that was too high.
  var threshold = 1u;
  if (params.sampleSize > 0u) { threshold = thresholdOf(rowOfGroup(id, params.chunks), params.attempt); }
  else if (params.attempt == 0u) { threshold = max(state[own + THRESHOLD], 1u); }
  if (lane.chunk == 0u) { state[own + THRESHOLD] = threshold; }
  let first = lane.chunk * params.chunk;
  if (first >= params.length) { tallies[lane.row * params.chunks + lane.chunk] = vec2u(0u, 0u); }
  if (first >= params.length || !inWindow(first)) { return; }
  let end = min(first + params.chunk, params.length);
  var above = 0u;
  var at = 0u;
  for (var start = first; start < end; start += 32u) {
    var bits = 0u;
    if (VECTOR && start + 32u <= end) {
      // Four entries per load cost a CPU's gather less than four loads.
      let place = placeOf(lane.row, start) / 4u;
      for (var j = 0u; j < 8u; j++) {
        let keys = selectionKeys(x4[place + j]);
        let reaches = select(vec4u(0u), vec4u(1u, 2u, 4u, 8u), keys >= vec4u(threshold));
        let equals = select(vec4u(0u), vec4u(1u), keys == vec4u(threshold));
        bits |= (reaches.x | reaches.y | reaches.z | reaches.w) << (j * 4u);
        at += equals.x + equals.y + equals.z + equals.w;
      }
    } else {
      for (var j = 0u; j < min(32u, end - start); j++) {
        let key = keyAt(lane.row, start + j);
        bits |= select(0u, 1u, key >= threshold) << j;
        at += select(0u, 1u, key == threshold);
      }
    }
    marks[wordOf(lane, start - first)] = bits;
    above += countOneBits(bits);
  }
  tallies[lane.row * params.chunks + lane.chunk] = vec2u(above - at, at);
}

/// Collect the candidates of every chunk, by ascending index: all above the threshold, and the ties that are wanted.
/// Leaves the chunk's largest key in its tally.
@compute @workgroup_size(EIGHT)
fn topKCollect(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let first = lane.chunk * params.chunk;
  let mine = lane.row * params.chunks + lane.chunk;
  if (first >= params.length) { tallies[mine].y = 0u; }
  if (first >= params.length || !inWindow(first)) { return; }
  let threshold = state[lane.row * STATE + THRESHOLD];
  var place = lane.row * params.capacity + tallies[mine].x;
  var ties = tallies[mine].y;
  var largest = 0u;
  let end = min(first + params.chunk, params.length);
  for (var start = first; start < end; start += 32u) {
    var bits = marks[wordOf(lane, start - first)];
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

@group(0) @binding(5) var<storage, read_write> counts: array<u32>;       // [rows]
@group(0) @binding(6) var<storage, read_write> best: array<vec2u>;       // [rows, capacity]: (key, index) in order
@group(0) @binding(7) var<storage, read_write> values: array<u32>;
@group(0) @binding(8) var<storage, read_write> indices: array<u32>;

/// Write a block of results: indices, and the values they point at as far as they lie in the bound window of x.
/// At level 1 the results are there already, and only what follows them is padded.
@compute @workgroup_size(EIGHT)
fn topK(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * EIGHT + local;
  let column = id % params.width;
  let j = id / params.width % params.fill;
  let row = id / (params.width * params.fill) * params.width + column;
  if (row >= params.rows) { return; }
  let found = min(state[row * STATE + FOUND], params.k);
  // A row that ran out in an earlier block has its count already.
  if (j == 0u && (found > 0u || params.slot == 0u)) { counts[params.countOrigin + row] = params.slot + found; }
  let place = resultPlace(row, params.slot + j);
  if (place >= params.outLength) { return; }
  if (j >= found) {
    indices[place] = 0xffffffffu;
    values[place] = 0xff800000u;   // the bits of -infinity
  } else if (params.level == 0u) {
    let index = best[row * params.capacity + j].y;
    indices[place] = index;
    if (inWindow(index)) { values[place] = x[placeOf(row, index)]; }
  }
}

/// Where a slot lies in the bound output windows. It wraps around for slots before them, and is too large then as well.
fn resultPlace(row: u32, slot: u32) -> u32 {
  return params.outOrigin + (row / params.width * params.slots + slot) * params.inner + row % params.width;
}

@group(0) @binding(5) var<storage, read_write> emittedIndices: array<u32>;
@group(0) @binding(8) var<storage, read_write> emittedValues: array<u32>;

/// Write the wanted entries straight from x, by ascending index.
@compute @workgroup_size(EIGHT)
fn topKEmit(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.chunks);
  if (!lane.works) { return; }
  let first = lane.chunk * params.chunk;
  if (first >= params.length || !inWindow(first)) { return; }
  let threshold = state[lane.row * STATE + THRESHOLD];
  let mine = tallies[lane.row * params.chunks + lane.chunk];
  var slot = mine.x;
  var ties = mine.y;
  let end = min(first + params.chunk, params.length);
  for (var start = first; start < end; start += 32u) {
    var bits = marks[wordOf(lane, start - first)];
    while (bits != 0u) {
      let index = start + firstTrailingBit(bits);
      bits &= bits - 1u;
      if (keyAt(lane.row, index) == threshold) {
        if (ties == 0u) { continue; }
        ties--;
      }
      let place = resultPlace(lane.row, slot);
      slot++;
      if (place < params.outLength) {
        emittedIndices[place] = index;
        emittedValues[place] = x[placeOf(lane.row, index)];
      }
    }
  }
}

// --- Backward: every index occurs once in a row, so each gradient has a place of its own. dx was cleared before. ---

override WORKGROUP_SIZE: u32 = 64u;

struct BackwardParams {
  count: u32,    // gradients in the bound window,
  start: u32,    // the first of which has this number in the tensor
  slots: u32,
  inner: u32,
  length: u32,
  to: u32,       // the first element of dx in its window
  room: u32,     // elements in that window
}

@group(0) @binding(0) var<uniform> backward: BackwardParams;
@group(0) @binding(1) var<storage, read> dValues: array<u32>;
@group(0) @binding(2) var<storage, read> owners: array<i32>;
@group(0) @binding(3) var<storage, read_write> dx: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn topKBackward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let at = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (at >= backward.count) { return; }
  let owner = owners[at];
  if (owner < 0 || u32(owner) >= backward.length) { return; }
  let number = backward.start + at;
  let outer = number / (backward.slots * backward.inner);
  let place = (outer * backward.length + u32(owner)) * backward.inner + number % backward.inner - backward.to;
  if (place < backward.room) { dx[place] = dValues[at]; }
}
