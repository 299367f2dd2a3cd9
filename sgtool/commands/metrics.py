"""`sgtool metrics`: how good and how varied a model's pictures are."""

import click

from sgtool.options import boolean_option, device_option, offline_option, precision_option


@click.command(short_help="Measure a model: FID and its kin, and what needs no download.")
@click.option("--network", metavar="MODEL",
              help="Model to measure: file, run folder (its newest snapshot), URL, or a known name like ffhq256.")  # fmt: skip
@click.option("--pictures", type=click.Path(), metavar="PATH",
              help="Measure these pictures, a dataset or a folder of one size, in place of a model.")  # fmt: skip
@click.option("--data", type=click.Path(), metavar="PATH", help="Real pictures: a dataset.  [default: that of the model's run]")
@click.option("--metrics", metavar="NAMES",
              help="What to measure, separated by commas. Any count by name: fid5k_full.  "
                   "[default: fid50k_full, or swd16k,msssim10k without its weights]")  # fmt: skip
@boolean_option("--mirror", default=None, show_default=False,
                help="The data were mirrored in training. Those with _full do not ask.  [default: as the run says]")  # fmt: skip
@click.option("--gpus", type=click.IntRange(1, 1024), default=1, show_default=True, metavar="N",
              help="Processes to measure with, each on its GPU (or CPU cores); the result is the same.")  # fmt: skip
@click.option("--repeats", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="R",
              help="Generate pictures R times, of other seeds, and tell the spread.")  # fmt: skip
@click.option("--allow-fewer", is_flag=True, help="Measure with the pictures that there are; the name then says how many.")
@click.option("--held-out", type=click.Path(), metavar="PATH",
              help="Pictures that were held out of training: the baseline of memorization.")  # fmt: skip
@click.option("--detector", metavar="FILE",
              help="Look with this instead of Inception-v3 and VGG16: an ONNX file, or discriminator:MODEL.")  # fmt: skip
@click.option("--outdir", type=click.Path(file_okay=False), metavar="DIR",
              help="Folder for metric-NAME.jsonl.  [default: the model's run folder]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="N",
              help="Seed of the first picture, and of all draws.")  # fmt: skip
@boolean_option("--verbose", default=True, help="Show progress and the time left.")
@device_option
@precision_option()
@offline_option
def metrics(
    network, pictures, data, metrics, mirror, gpus, repeats, allow_fewer, held_out, detector, outdir, seed, verbose, device,
    precision, offline,
):  # fmt: skip
    """Measure how good and how varied a model's pictures are.

    Prints a table, and adds a line with everything that decided the number to metric-NAME.jsonl.

    \b
    sgtool metrics --network runs/00000-data-auto1
    sgtool metrics --network model.pkl --data data.zip --metrics fid50k_full,kid50k_full,pr50k3_full
    sgtool metrics --network model.pkl --data data.zip --metrics swd16k,msssim10k --outdir out
    sgtool metrics --network model.pkl --data train.zip --held-out rest.zip --metrics memorization --outdir out
    sgtool metrics --pictures made/ --data data.zip --metrics fid5k_full --detector discriminator:model.pkl
    """
    from sgtool.errors import UserError
    from sgtool.measuring import Request
    from sgtool.measuring.processes import measure_on
    from sgtool.measuring.results import table
    from sgtool.options import torch_device

    request = Request(
        metrics=metrics,
        network=network,
        pictures=pictures,
        data=data,
        held_out=held_out,
        mirror=mirror,
        detector=detector,
        outdir=outdir,
        repeats=repeats,
        allow_fewer=allow_fewer,
        seed=seed,
        device=str(torch_device(device)),
        precision=precision,
        offline=offline,
    )
    found, paths, error = measure_on(request, gpus, verbose)
    if not found:  # one of torchrun's processes that is not the first
        return
    for line in table(found):
        click.echo(line)
    if error is not None:
        raise UserError(error)
    click.echo(f"Written: {', '.join(map(str, paths))}" if paths else "Nothing is written: give --outdir to keep this.", err=True)
