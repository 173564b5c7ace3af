#!/bin/bash
# git: commits, branches, a merge, a rebase, a clone, threads that pack, search and check.
. "${0%/*}/common.sh"

export HOME=$PWD GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000' GIT_PAGER=cat
git config --global user.name Somebody
git config --global user.email somebody@example.org
git config --global init.defaultBranch main
git config --global advice.detachedHead false
git config --global pack.threads 2
git config --global maintenance.auto false

git init -q origin
cd origin
for number in {1..150}; do seq "$number" "$((number + 200))" >"file-$number"; done
git add .
git commit -qm first
git switch -qc side
sed -i s/^7/seven/ file-7
git mv file-8 renamed
git commit -qam side
git switch -q main
echo other >>file-9
git commit -qam main
git merge -q --no-edit side
git switch -q side
git rebase -q main
git switch -q main
echo stashed >>file-1
git stash -q
git stash pop -q
git commit -qam stashed
git tag -a -m release v1
git log --stat --graph --all >/dev/null
git blame file-7 >/dev/null
git grep -q --threads 2 seven
git diff HEAD~2 --stat >/dev/null
git status --short
git worktree add -q ../tree side
git repack -qadf
git fsck --no-progress --no-dangling --full
git gc -q --prune=now
git archive --format=tar.gz -o ../v1.tar.gz v1
cd ..
git clone -q --no-local "file://$PWD/origin" clone
cd clone
echo cloned >new
git add new
git commit -qm new
git push -q origin HEAD:refs/heads/new
git fetch -q --all
git reset -q --hard HEAD~1
git clean -qfd
git bundle create -q ../bundle --all
finish git 42
