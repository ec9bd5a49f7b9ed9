// Add rows up by their ids, without atomics: the ids are sorted first (stably, so that equal ids keep their order), and the
// first of each run of equal ids adds up the whole run. One fixed order: the same bits every time.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;

struct ScatterParams {
  count: u32,     // rows to add
  rows: u32,      // rows of the sums; a key that is not below it adds nothing
  width: u32,
  skip: u32,      // an id that adds nothing, or 0xffffffff
}

@group(0) @binding(0) var<uniform> scatterParams: ScatterParams;
@group(0) @binding(1) var<storage, read> scatterIds: array<u32>;
@group(0) @binding(2) var<storage, read_write> scatterKeys: array<u32>;

/// Ids as keys that take few bits: whatever adds nothing comes last (-1 is a large u32).
@compute @workgroup_size(WORKGROUP_SIZE)
fn scatterKeysOf(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                 @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  if (i >= scatterParams.count) { return; }
  let id = scatterIds[i];
  scatterKeys[i] = select(id, scatterParams.rows, id >= scatterParams.rows || id == scatterParams.skip);
}

@group(0) @binding(1) var<storage, read> added: array<f32>;        // [count, width]
@group(0) @binding(2) var<storage, read> sortedKeys: array<u32>;   // [count]
@group(0) @binding(3) var<storage, read> cameFrom: array<u32>;     // [count]
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;   // [rows, width]

/// One invocation per sorted place and column; all but the first of a run leave.
@compute @workgroup_size(WORKGROUP_SIZE)
fn scatterAdd(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let place = i / scatterParams.width;
  if (place >= scatterParams.count) { return; }
  let column = i % scatterParams.width;
  let key = sortedKeys[place];
  if (key >= scatterParams.rows) { return; }
  if (place > 0u && sortedKeys[place - 1u] == key) { return; }
  var sum = 0.0;
  for (var j = place; j < scatterParams.count && sortedKeys[j] == key; j++) {
    sum += added[cameFrom[j] * scatterParams.width + column];
  }
  sums[key * scatterParams.width + column] += sum;
}

@group(0) @binding(1) var<storage, read> added4: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums4: array<vec4f>;

/// The same for rows of whole fours, counted in fours.
@compute @workgroup_size(WORKGROUP_SIZE)
fn scatterQuads(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                @builtin(local_invocation_index) local: u32) {
  let i = linearGroup(group, groups) * WORKGROUP_SIZE + local;
  let place = i / scatterParams.width;
  if (place >= scatterParams.count) { return; }
  let column = i % scatterParams.width;
  let key = sortedKeys[place];
  if (key >= scatterParams.rows) { return; }
  if (place > 0u && sortedKeys[place - 1u] == key) { return; }
  var sum = vec4f();
  for (var j = place; j < scatterParams.count && sortedKeys[j] == key; j++) {
    sum += added4[cameFrom[j] * scatterParams.width + column];
  }
  sums4[key * scatterParams.width + column] += sum;
}
