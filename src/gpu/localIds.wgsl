// localIds: where each id stands in the sub-vocabulary of its row. Each id is compared with all words of its row, which all ids
// of a workgroup share: on software drivers the loads then have uniform addresses. `localIdsTiles` gives each id a workgroup.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
const NONE = 0xffffffffu;   // -1

struct Params { rows: u32, tokens: u32, k: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;              // [rows, tokens]
@group(0) @binding(2) var<storage, read> words: array<u32>;            // [rows, k]
@group(0) @binding(3) var<storage, read_write> places: array<u32>;     // [rows, tokens]

/// From the last word to the first, so that the first of equal words stays. A negative id (a large u32) matches nothing.
@compute @workgroup_size(WORKGROUP_SIZE)
fn localIds(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
            @builtin(local_invocation_index) local: u32) {
  let across = (params.tokens + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
  let id = linearGroup(group, groups);
  let row = id / across;
  let token = id % across * WORKGROUP_SIZE + local;
  if (row >= params.rows || token >= params.tokens) { return; }
  let wanted = ids[row * params.tokens + token];
  let first = row * params.k;
  var found = NONE;
  for (var j = params.k; j > 0u; j--) { found = select(found, j - 1u, words[first + j - 1u] == wanted); }
  places[row * params.tokens + token] = select(found, NONE, wanted > 0x7fffffffu);
}

var<workgroup> least: atomic<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn localIdsTiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let token = linearGroup(group, groups);
  if (token >= params.rows * params.tokens) { return; }   // the same for the whole workgroup
  if (local == 0u) { atomicStore(&least, NONE); }
  workgroupBarrier();
  let wanted = ids[token];
  let first = token / params.tokens * params.k;
  for (var j = local; j < params.k; j += WORKGROUP_SIZE) {
    if (words[first + j] == wanted && wanted <= 0x7fffffffu) {
      atomicMin(&least, j);
      break;
    }
  }
  workgroupBarrier();
  if (local == 0u) { places[token] = atomicLoad(&least); }
}
