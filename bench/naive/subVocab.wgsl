// The plainest kernels of the operators on sub-vocabularies: one invocation per row or token, no tiles.

struct Params { count: u32, width: u32, words: u32, tokens: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn gatherRows(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
              @builtin(local_invocation_index) local: u32) {
  let i = (group.x + group.y * groups.x) * 64u + local;
  if (i >= params.count) { return; }
  for (var d = 0u; d < params.width; d++) {
    y[i * params.width + d] = select(0.0, table[u32(max(ids[i], 0)) * params.width + d], ids[i] >= 0);
  }
}
