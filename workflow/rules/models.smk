# Needs: the config's models. Makes: resources/models/<model>-<hash>/ with a card, shared by all runs.


def fetch_files(wildcards):
    """What a model is made from: a local folder's files, or the fetched model that a random one is like."""
    model = CONFIG["models"][wildcards.model]
    if model["source"] == "local":
        return sorted(path for path in Path(model["path"]).glob("*") if path.is_file())
    if model["source"] == "random":
        return [model_folder(model["like"]) / "card.json"]
    return []


def like_folder(model):
    like = CONFIG["models"][model].get("like")
    return {} if like is None else {"like_folder": str(model_folder(like))}


rule fetch:
    input:
        files=fetch_files,
        code=code("fetch"),
    output:
        MODELS_FOLDER / "{model}-{key}" / "card.json",
    params:
        slice=lambda wildcards: canonical_json(slices.fetch_slice(CONFIG, wildcards.model)),
        call=lambda wildcards, threads: call("fetch", wildcards, threads, **like_folder(wildcards.model)),
    threads: CONFIG["compute"]["threads"]
    resources:
        mem_mb=4000,
    conda:
        "../../environment.yml"
    shell:
        "exec python -m plateaus.stages.fetch --slice {params.slice:q} {params.call:q}"
