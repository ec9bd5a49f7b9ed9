// The steps of a selection that do not depend on where the keys come from; lib/selection.wgsl has the outline.
// @uses lib/grid.wgsl
// @uses lib/selection.wgsl

@group(0) @binding(6) var<storage, read_write> sampled: array<vec4i>;    // [rows, sampleSize / 4]: signed keys

/// Guess the threshold: of all pivots that at least `rank` keys of the sample reach, the largest. Every invocation takes
/// a pivot from its eight keys of the sample, and ranks it; all of a workgroup load the same keys at a time. A pivot is
/// the largest of the eight, which makes them dense near the top, or at level 1 the first, which spreads them evenly.
@compute @workgroup_size(WORKGROUP)
fn rankPivots(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  let size = params.sampleSize / 4u;
  let own = (id % (params.chunks / WORKGROUP) * WORKGROUP + local) * 2u;
  var pivot = signedKey(0u);
  if (own < size) {
    let a = sampled[row * size + own];
    let b = max(a, sampled[row * size + own + 1u]);
    pivot = select(max(max(b.x, b.y), max(b.z, b.w)), a.x, params.level == 1u);
  }
  var below = vec4u(0u);
  for (var s = row * size; s < (row + 1u) * size; s++) {
    below += select(vec4u(0u), vec4u(1u), vec4i(pivot) > sampled[s]);
  }
  let reach = params.sampleSize - (below.x + below.y + below.z + below.w);
  if (reach >= params.rank) { atomicMax(&digits[guessPlace(row)], bitcast<u32>(pivot) ^ 0x80000000u); }
}

@group(0) @binding(7) var<storage, read_write> tally: array<vec2u>;      // [rows, chunks]

/// How many entries are above the threshold, how many at it, and so: which are candidates, and where each chunk puts its
/// own. In: tally = (above, at) per chunk. Out: (place of its first candidate, how many of its ties are wanted).
@compute @workgroup_size(WORKGROUP)
fn decide(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
          @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP + local;
  if (row >= params.rows) { return; }
  if (params.attempt == BY_COUNTING && !mustRetry(row)) { return; }
  var sum = vec2u(0u);
  for (var c = 0u; c < params.chunks; c++) { sum += tally[row * params.chunks + c]; }
  let own = row * STATE;
  let choice = settled(sum, max(state[own + THRESHOLD], 1u));
  state[own + STATUS] = choice.status;
  state[own + TIES] = choice.ties;
  state[own + FOUND] = choice.found;
  var before = vec2u(0u);
  for (var c = 0u; c < params.chunks; c++) {
    let here = tally[row * params.chunks + c];
    let earlier = min(before.y, choice.ties);
    tally[row * params.chunks + c] = vec2u(before.x + earlier, choice.ties - earlier);
    before += here;
  }
}

// --- Putting candidates in order. They come by ascending index, so a stable sort by key alone gives the total order. ---

@group(0) @binding(6) var<storage, read_write> unsorted: array<vec2u>;   // [rows, room]: (key, index)
@group(0) @binding(7) var<storage, read_write> ordered: array<vec2u>;
@group(0) @binding(8) var<storage, read_write> bins: array<u32>;         // [rows, parts + 1, BINS]

/// The first k of a row's candidates by insertion, for small k. One invocation per row.
@compute @workgroup_size(WORKGROUP)
fn sortFew(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP + local;
  if (row >= params.rows) { return; }
  let base = row * params.room;
  let found = state[row * STATE + FOUND];
  var size = 0u;
  var worst = 0u;   // the last key of a full list
  for (var c = 0u; c < found; c++) {
    let entry = unsorted[base + c];
    if (size < params.k || entry.x > worst) {
      var j = min(size, params.k - 1u);
      while (j > 0u && ordered[base + j - 1u].x < entry.x) {
        ordered[base + j] = ordered[base + j - 1u];
        j--;
      }
      ordered[base + j] = entry;
      size = min(size + 1u, params.k);
      worst = ordered[base + size - 1u].x;
    }
  }
  if (params.level == BY_INDEX) {
    for (var c = 1u; c < size; c++) {
      let entry = ordered[base + c];
      var j = c;
      while (j > 0u && ordered[base + j - 1u].y > entry.y) {
        ordered[base + j] = ordered[base + j - 1u];
        j--;
      }
      ordered[base + j] = entry;
    }
  }
}

/// How a row's candidates are sorted: by three digits of `width` bits each, in `parts` parts of `piece` candidates.
/// Levels 0 to 2 sort by (largest key - key); levels 3 to 5 put the first k of the result back in order of index.
struct SortShape { largest: u32, width: u32, parts: u32, piece: u32, found: u32 }

fn sortShape(row: u32, largest: u32) -> SortShape {
  let own = row * STATE;
  var span = largest - max(state[own + THRESHOLD], 1u);
  var found = state[own + FOUND];
  if (params.level >= BY_INDEX) {
    span = params.length;
    found = min(found, params.k);
  }
  let width = max((32u - countLeadingZeros(span) + 2u) / 3u, 1u);
  // Counting costs 2^width steps per part: let no part have fewer candidates than that.
  let parts = clamp(found >> max(width, 5u), 1u, params.parts);
  return SortShape(largest, width, parts, (found + parts - 1u) / parts, found);
}

fn sortDigit(shape: SortShape, entry: vec2u) -> u32 {
  let ascending = select(shape.largest - entry.x, entry.y, params.level >= BY_INDEX);
  return (ascending >> (params.level % BY_INDEX * shape.width)) & ((1u << shape.width) - 1u);
}

fn binsOf(row: u32, part: u32) -> u32 { return (row * (params.parts + 1u) + part) * BINS; }

/// The largest key of a row, from what `collect` left in the tallies.
fn largestKey(row: u32) -> u32 {
  var largest = 0u;
  for (var c = 0u; c < params.chunks; c++) { largest = max(largest, tally[row * params.chunks + c].y); }
  return largest;
}

/// Count the digits of every part.
@compute @workgroup_size(WORKGROUP)
fn sortCount(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let lane = laneOf(id, local, params.parts);
  if (!lane.works) { return; }
  var largest = 0u;
  if (params.level > 0u) { largest = state[lane.row * STATE + LARGEST]; }
  else if (params.parts > 1u) { largest = largestKey(rowOfGroup(id, params.parts)); }
  else { largest = largestKey(lane.row); }
  if (lane.chunk == 0u) { state[lane.row * STATE + LARGEST] = largest; }
  let shape = sortShape(lane.row, largest);
  if (lane.chunk >= shape.parts) { return; }
  let mine = binsOf(lane.row, lane.chunk);
  for (var digit = 0u; digit < (1u << shape.width); digit++) { bins[mine + digit] = 0u; }
  let base = lane.row * params.room;
  let end = min((lane.chunk + 1u) * shape.piece, shape.found);
  for (var c = lane.chunk * shape.piece; c < end; c++) {
    let digit = mine + sortDigit(shape, unsorted[base + c]);
    bins[digit] = bins[digit] + 1u;
  }
}

/// Per digit: running totals over the parts, and the whole total behind the last part.
@compute @workgroup_size(WORKGROUP)
fn sortScan(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = id / (BINS / WORKGROUP);
  if (row >= params.rows) { return; }
  let shape = sortShape(row, state[row * STATE + LARGEST]);
  let digit = id % (BINS / WORKGROUP) * WORKGROUP + local;
  if (digit >= (1u << shape.width)) { return; }
  var total = 0u;
  for (var part = 0u; part < shape.parts; part++) {
    let place = binsOf(row, part) + digit;
    let here = bins[place];
    bins[place] = total;
    total += here;
  }
  bins[binsOf(row, params.parts) + digit] = total;
}

/// Move every candidate to its place.
@compute @workgroup_size(WORKGROUP)
fn sortMove(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let lane = laneOf(linearGroup(group, groups), local, params.parts);
  if (!lane.works) { return; }
  let shape = sortShape(lane.row, state[lane.row * STATE + LARGEST]);
  if (lane.chunk >= shape.parts) { return; }
  let mine = binsOf(lane.row, lane.chunk);
  let totals = binsOf(lane.row, params.parts);
  var before = 0u;
  for (var digit = 0u; digit < (1u << shape.width); digit++) {
    let here = bins[mine + digit];
    // With one part there was nothing to scan: its counts are the totals.
    if (params.parts == 1u) {
      bins[mine + digit] = before;
      before += here;
    } else {
      bins[mine + digit] = before + here;
      before += bins[totals + digit];
    }
  }
  let base = lane.row * params.room;
  let end = min((lane.chunk + 1u) * shape.piece, shape.found);
  for (var c = lane.chunk * shape.piece; c < end; c++) {
    let entry = unsorted[base + c];
    let digit = mine + sortDigit(shape, entry);
    let place = bins[digit];
    bins[digit] = place + 1u;
    ordered[base + place] = entry;
  }
}

// --- Without order: drop the candidates that are too many, keeping the rest by ascending index. ---

/// The candidates of one of `chunks` parts: from x up to y.
fn partOf(found: u32, part: u32) -> vec2u {
  let piece = (found + params.chunks - 1u) / params.chunks;
  return vec2u(min(part * piece, found), min((part + 1u) * piece, found));
}

/// Count the digits of the candidates' keys at a level.
@compute @workgroup_size(WORKGROUP)
fn countCandidates(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  let part = id % (params.chunks / WORKGROUP) * WORKGROUP + local;
  let picked = pickBefore(row, params.level, part == 0u);
  if (picked.y == 0u) { return; }
  let place = digitPlace(row, params.level);
  let own = partOf(state[row * STATE + FOUND], part);
  for (var c = own.x; c < own.y; c++) {
    let key = unsorted[row * params.room + c].x;
    if (hasPrefix(key, picked.x, params.level)) { atomicAdd(&digits[place + digitOf(key, params.level)], 1u); }
  }
}

/// Tally every part of the candidates against the exact threshold.
@compute @workgroup_size(WORKGROUP)
fn tallyCandidates(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                   @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  let part = id % (params.chunks / WORKGROUP) * WORKGROUP + local;
  let threshold = countedThreshold(row);
  let found = state[row * STATE + FOUND];
  let own = partOf(found, part);
  var seen = vec2u(0u);
  for (var c = own.x; c < own.y; c++) {
    let key = unsorted[row * params.room + c].x;
    seen += vec2u(select(0u, 1u, key > threshold), select(0u, 1u, key == threshold));
  }
  tally[row * params.chunks + part] = seen;
  if (part == 0u) {
    state[row * STATE + THRESHOLD] = threshold;
    state[row * STATE + HELD] = found;
  }
}

@group(0) @binding(8) var<storage, read_write> kept: array<vec2u>;       // [rows, room]

/// Keep the candidates that `decide` chose by these tallies.
@compute @workgroup_size(WORKGROUP)
fn keepCandidates(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups);
  let row = rowOfGroup(id, params.chunks);
  if (row >= params.rows) { return; }
  let part = id % (params.chunks / WORKGROUP) * WORKGROUP + local;
  let threshold = state[row * STATE + THRESHOLD];
  let base = row * params.room;
  var place = base + tally[row * params.chunks + part].x;
  var ties = tally[row * params.chunks + part].y;
  let own = partOf(state[row * STATE + HELD], part);
  for (var c = own.x; c < own.y; c++) {
    let entry = unsorted[base + c];
    let tie = entry.x == threshold && ties > 0u;
    if (entry.x > threshold || tie) {
      kept[place] = entry;
      place++;
    }
    ties -= select(0u, 1u, tie);
  }
}

/// Before the next block of results: remember the last entry of this one.
@compute @workgroup_size(WORKGROUP)
fn advance(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups) * WORKGROUP + local;
  if (row >= params.rows) { return; }
  let own = row * STATE;
  let taken = min(state[own + FOUND], params.k);
  // Nothing comes after (0, 0): a row that ran out stays so.
  var last = vec2u(0u, 0u);
  if (taken > 0u) { last = ordered[row * params.room + taken - 1u]; }
  state[own + LAST_KEY] = last.x;
  state[own + LAST_INDEX] = last.y;
  state[own + STATUS] = 0u;
  state[own + THRESHOLD] = 0u;
}
