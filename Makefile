# Every command of the project. `make help` lists them.
SHELL := /bin/bash
PRESET ?= release
ARGS ?=

.PHONY: help run test test-big test-cluster test-package package build verify sim plants bench check format test-asan test-tsan fuzz sql-differential coverage proof clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: ## set up, build, start a three-node cluster, run the full scenario, stay up (ARGS=--once: end)
	@scripts/bootstrap build
	@scripts/build $(PRESET) cairn
	@scripts/run $(ARGS)

test: ## set up, build, pass all tests
	@scripts/bootstrap build test
	@scripts/test $(PRESET)

build: ## set up and build
	@scripts/bootstrap build
	@scripts/build $(PRESET)

verify: build ## all fault scenarios on real processes
	@./verify.sh --scenario all

sim: ## simulate clusters under faults for 15 minutes (ARGS=...: instead, see build/cairn-sim --help)
	@scripts/bootstrap build
	@scripts/build $(PRESET) cairn-sim
	@build/cairn-sim --jobs $$(nproc) --seed $$(date +%s)000 $(or $(ARGS),--profile mix --for-seconds 870)

plants: ## plant each known bug and count the seeds until the simulator catches it
	@scripts/bootstrap build
	@scripts/plants $(ARGS)

bench: ## measure, side by side with etcd, into docs/performance.md's raw figures
	@scripts/bootstrap build bench
	@scripts/build $(PRESET)
	@scripts/bench $(ARGS)

check: ## formatting, layers, lengths, banned calls, locks, clang-tidy
	@scripts/bootstrap build check
	@scripts/check all

format: ## rewrite the sources as clang-format wants them
	@scripts/bootstrap check
	@git ls-files '*.h' '*.cc' | xargs clang-format-14 -i

test-big: build ## snapshots of a database of 2 GB (needs 12 GB of disk, and some minutes)
	@CAIRN_TEST_DATA_MB=2000 python3 tests/snapshot_test.py

test-cluster: ## real servers under real faults, about 20 minutes, as root (ARGS=power-cuts: only that, see --help)
	@scripts/bootstrap build cluster
	@cmake --preset release >/dev/null
	@scripts/build release cairn cairn-history-load cairn-check-history cairn-fault-fs
	@tests/cluster/run.py $(ARGS)

package: ## packages for Debian in build/package: server, C++ client, extension for sqlite3
	@scripts/bootstrap build test
	@scripts/package

test-package: ## install, run, upgrade, remove and purge the package in a fresh Debian, as root
	@scripts/bootstrap build test package
	@tests/package/fresh_root.py

test-asan: ## all unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/bootstrap build test
	@scripts/test asan

test-tsan: ## all unit tests under ThreadSanitizer
	@scripts/bootstrap build test
	@scripts/test tsan

fuzz: ## fuzz all decoders, SQL and the core, FUZZ_SECONDS (300) in all (ARGS="log sql": only these)
	@scripts/bootstrap build fuzz
	@scripts/fuzz $(ARGS)

sql-differential: ## compare 25,000 generated statements with plain SQLite
	@scripts/bootstrap build test
	@scripts/build release state_machine_test
	@CAIRN_SQL_STATEMENTS=25000 build/state_machine_test --gtest_filter='PlainSqlite.*'

coverage: ## lines and branches of src/raft and src/log_store that their tests run
	@scripts/bootstrap build test coverage
	@scripts/coverage

proof: ## run every instrument, 70 minutes, and write the figures into docs/proof.md (ARGS="sim log": only these)
	@scripts/bootstrap build test fuzz cluster
	@scripts/proof $(ARGS)

clean: ## remove everything built
	rm -rf build build-dev build-asan build-tsan build-fuzz build-coverage build-plants run
