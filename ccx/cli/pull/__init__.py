"""The pull-request kit: what `ccx ci` checks of a change, and how `ccx comment` tells it on the forge.

    event    what the pipeline says: which pull request, against what, by which commit
    history  the git history that a comparison needs, fetched if it is asked for
    review   one spec through validate, lint, test and plan: a value with a verdict
    written  a review as comment, summary and annotations
    bundle   the folder of reports, and reading it back where it came from a stranger
    sticky   which comment is created, updated or left alone: a pure decision
    forge    GitHub's and GitLab's comments, by their REST interfaces

Law: whoever checks holds no token, and whoever holds a token runs nothing of the pull request. Names, texts and
artifacts of a pull request are a stranger's: shown, bounded, never obeyed.
"""
