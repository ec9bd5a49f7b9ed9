import { Command, Option } from 'commander';

/** `subvocab index`: build and search an index of vectors. */
export function indexCommand(): Command {
  const twin = () =>
    new Option('--twin <twin>', 'which implementation runs').choices(['ref', 'gpu']).default('ref');
  const build = new Command('build')
    .description('Build an index of the vectors in a file')
    .requiredOption('--vectors <file>', 'the vectors: .fbin, .npy, .safetensors with one tensor, or .arrow')
    .option('--out <folder>', 'where the index goes; an older index there is replaced')
    .addOption(engineOption())
    .addOption(tableOption())
    .addOption(
      new Option('--metric <metric>', 'how vectors are compared')
        .choices(['ip', 'l2', 'cosine'])
        .default('ip'),
    )
    .option('--lists <n>', 'how many lists; default: one per 100 vectors')
    .option('--levels <n>', 'levels of centroids, 1 to 3')
    .option('--flat', 'one list: exact search')
    .option(
      '--on-disk',
      'bytes instead of f32, built and searched piece by piece: for more vectors than fit into memory',
    )
    .option('--sample <n>', 'vectors to train on; default: 40 per list')
    .option('--iterations <n>', 'Lloyd iterations per level')
    .option('--refine <n>', 'Lloyd iterations over all lists at the end')
    .option('--beam <n>', 'nodes of a level that each vector is tried with')
    .option('--seed <n>', 'decides every random choice', '0')
    .option('--ids <file>', 'an id per vector: .ibin with one column, .npy, or .arrow; default: 0, 1, 2, ...')
    .addOption(twin())
    .option('--adapter <text>', 'part of the name of the GPU adapter to use')
    .option('--json', 'print what was built')
    .action(async (options) => {
      const { buildIndex } = await import('./actions/annIndex.ts');
      await buildIndex(options);
    });
  const search = new Command('search')
    .description('Find the best vectors of an index for each query in a file')
    .option('--index <folder>', 'an index that "index build" made')
    .addOption(engineOption())
    .addOption(tableOption())
    .requiredOption('--queries <file>', 'the queries: .fbin, .npy, .safetensors with one tensor, or .arrow')
    .requiredOption('--k <n>', 'how many per query')
    .requiredOption('--out <name>', 'results go to <name>.ibin (ids) and <name>.fbin (scores)')
    .option('--nprobe <n>', 'lists to look into')
    .option(
      '--recall <x>',
      'instead: as many lists as should hold this share of the best; for an index on disk',
    )
    .option(
      '--exact',
      'instead: the best of all vectors; lists are left out only where none of the best can be',
    )
    .option('--beam <n>', 'nodes of each upper level to open')
    .option('--unsorted', 'the set alone, by ascending id')
    .addOption(
      new Option('--on-short <what>', 'when the lists hold fewer than k')
        .choices(['extend', 'error', 'pad'])
        .default('extend'),
    )
    .addOption(twin())
    .option('--adapter <text>', 'part of the name of the GPU adapter to use')
    .option('--json', 'print what was found')
    .action(async (options) => {
      const { searchIndex } = await import('./actions/annIndex.ts');
      await searchIndex(options);
    });
  return new Command('index')
    .description('Build and search an index of vectors')
    .addCommand(build)
    .addCommand(search)
    .addCommand(filesCommand('info', 'Say what an index holds'))
    .addCommand(filesCommand('verify', 'Read all of an index and check everything that can be checked'))
    .addCommand(
      filesCommand('export', 'Write the vectors of an index, list after list, and their ids').requiredOption(
        '--out <name>',
        'vectors go to <name>.fbin, ids to <name>.ibin',
      ),
    );
}

/** Instead of a folder, a database. */
function engineOption(): Option {
  return new Option(
    '--engine <where>',
    'a database instead of a folder: lancedb:PATH or postgres:URL,URL,...',
  );
}

function tableOption(): Option {
  return new Option('--table <name>', 'the table in the database; default: subvocab_words');
}

/** A command that reads an index of either kind: in memory, or of words on disk. */
function filesCommand(name: 'info' | 'verify' | 'export', about: string): Command {
  return new Command(name)
    .description(about)
    .option('--index <folder>', 'an index that "index build" or "demo 100m" made')
    .addOption(engineOption())
    .addOption(tableOption())
    .option('--json', 'print what was found as JSON')
    .action(async (options) => {
      const actions = await import('./actions/indexFiles.ts');
      await actions[name](options);
    });
}
