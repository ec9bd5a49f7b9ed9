// A dispatch of more than 65,535 workgroups is folded into two dimensions by the host (`grid` in runtime/gpu.ts).

/// The number of this workgroup when the folded grid is read as one line.
fn linearGroup(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}
