// Steps of a selection for GPUs: a workgroup of 256 with shared memory. lib/selection.wgsl has the outline.
// @uses lib/grid.wgsl
// @uses lib/selection.wgsl
// @uses lib/tile.wgsl

const SORT_TILE: u32 = 1024u;     // entries that one workgroup sorts in shared memory

@group(0) @binding(7) var<storage, read_write> tally: array<vec2u>;      // [rows, chunks]

/// `decide` of lib/selectionSteps.wgsl: one workgroup per row, each invocation with a run of chunks.
@compute @workgroup_size(TILE)
fn decideTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
               @builtin(local_invocation_index) local: u32) {
  let row = linearGroup(group, groups);
  if (row >= params.rows) { return; }
  if (tileSays(local, params.attempt == BY_COUNTING && !mustRetry(row))) { return; }
  let run = (params.chunks + TILE - 1u) / TILE;
  let first = min(local * run, params.chunks);
  let end = min(first + run, params.chunks);
  var sum = vec2u(0u);
  for (var c = first; c < end; c++) { sum += tally[row * params.chunks + c]; }
  let scanned = scanTile(local, sum);
  let own = row * STATE;
  let choice = settled(scanned.zw, max(state[own + THRESHOLD], 1u));
  if (local == 0u) {
    state[own + STATUS] = choice.status;
    state[own + TIES] = choice.ties;
    state[own + FOUND] = choice.found;
  }
  var before = scanned.xy;
  for (var c = first; c < end; c++) {
    let here = tally[row * params.chunks + c];
    let earlier = min(before.y, choice.ties);
    tally[row * params.chunks + c] = vec2u(before.x + earlier, choice.ties - earlier);
    before += here;
  }
}

// --- Bitonic sort of the candidates: `level` entries are one block, of which halves at `distance` are compared. ---
// Sorted by the total order, it needs no stability: no two entries are equal. Places past the last candidate hold
// entries that come after every other.

@group(0) @binding(6) var<storage, read_write> entries: array<vec2u>;    // [rows, room]: (key, index), in place

var<workgroup> tile: array<vec2u, SORT_TILE>;

const BEYOND = vec2u(0u, ALL);

/// In order of index, which `after` asks for here, the keys do not count.
fn goesFirst(a: vec2u, b: vec2u) -> bool {
  if (params.after == BY_INDEX) { return a.y < b.y; }
  return comesBefore(a.x, a.y, b.x, b.y);
}

/// Compare the two entries of pair number `pair` at a distance in the tile; `start` is where the tile lies in its row.
fn exchangeInTile(pair: u32, block: u32, distance: u32, start: u32) {
  let low = pair / distance * distance * 2u + pair % distance;
  let high = low + distance;
  let rising = ((start + low) & block) == 0u;
  let a = tile[low];
  let b = tile[high];
  if (goesFirst(b, a) == rising) {
    tile[low] = b;
    tile[high] = a;
  }
}

struct TileOfRow { row: u32, start: u32, works: bool }

fn tileOfRow(group: u32) -> TileOfRow {
  let perRow = params.room / SORT_TILE;
  return TileOfRow(group / perRow, group % perRow * SORT_TILE, group / perRow < params.rows);
}

/// Sort tiles from scratch, alternately rising and falling.
@compute @workgroup_size(TILE)
fn sortTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let at = tileOfRow(linearGroup(group, groups));
  if (!at.works) { return; }
  let base = at.row * params.room + at.start;
  var found = state[at.row * STATE + FOUND];
  if (params.after == BY_INDEX) { found = min(found, params.k); }
  for (var i = local; i < SORT_TILE; i += TILE) {
    tile[i] = BEYOND;
    if (at.start + i < found) { tile[i] = entries[base + i]; }
  }
  workgroupBarrier();
  for (var block = 2u; block <= SORT_TILE; block *= 2u) {
    for (var distance = block / 2u; distance > 0u; distance /= 2u) {
      for (var pair = local; pair < SORT_TILE / 2u; pair += TILE) { exchangeInTile(pair, block, distance, at.start); }
      workgroupBarrier();   // the next distance pairs others
    }
  }
  for (var i = local; i < SORT_TILE; i += TILE) { entries[base + i] = tile[i]; }
}

override STEPS: u32 = 1u;         // 1 to 3

/// Steps at `distance`, half of it, and so on, all of them a tile or more: STEPS of them while 2^STEPS entries are in registers, so that
/// the entries are read and written once for all of these steps. An invocation owns entries that only meet each other.
@compute @workgroup_size(TILE)
fn sortApart(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let id = linearGroup(group, groups) * TILE + local;
  let count = 1u << STEPS;
  let perRow = params.room / count;
  let row = id / perRow;
  if (row >= params.rows) { return; }
  let nearest = params.distance >> (STEPS - 1u);
  let lane = id % perRow;
  let low = lane / nearest * nearest * count + lane % nearest;
  let base = row * params.room + low;
  // They lie within 2 distance, which divides the block: all rise or all fall.
  let rising = (low & params.level) == 0u;
  var own = array<vec2u, 8>();
  for (var i = 0u; i < count; i++) { own[i] = entries[base + i * nearest]; }
  for (var half = count / 2u; half > 0u; half /= 2u) {
    for (var i = 0u; i < count; i++) {
      if ((i & half) != 0u) { continue; }
      let a = own[i];
      let b = own[i + half];
      if (goesFirst(b, a) == rising) {
        own[i] = b;
        own[i + half] = a;
      }
    }
  }
  for (var i = 0u; i < count; i++) { entries[base + i * nearest] = own[i]; }
}

/// The steps of a block at distances within a tile.
@compute @workgroup_size(TILE)
fn sortWithin(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let at = tileOfRow(linearGroup(group, groups));
  if (!at.works) { return; }
  let base = at.row * params.room + at.start;
  for (var i = local; i < SORT_TILE; i += TILE) { tile[i] = entries[base + i]; }
  workgroupBarrier();
  for (var distance = SORT_TILE / 2u; distance > 0u; distance /= 2u) {
    for (var pair = local; pair < SORT_TILE / 2u; pair += TILE) {
      exchangeInTile(pair, params.level, distance, at.start);
    }
    workgroupBarrier();
  }
  for (var i = local; i < SORT_TILE; i += TILE) { entries[base + i] = tile[i]; }
}
