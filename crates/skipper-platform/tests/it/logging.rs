use std::{fs, time::Duration};

use futures::StreamExt as _;
use skipper_core::{
    deployment::Deployment,
    port::{ErrorKind, LogChunk, LogQuery, LogStreamKind},
};
use skipper_platform::{artifact::FetchLimits, local::LogBounds};

use crate::{
    remote::here_and_far,
    world::{FIXTURE, PATIENCE, World, deployment, eventually, kill, processes_of, script},
};

here_and_far! {
    a_log_is_bounded_however_much_is_printed,
    a_long_line_is_cut_and_nothing_of_it_is_lost,
    both_outputs_are_kept_with_their_time_and_told_apart,
    lines_of_all_instances_come_in_order,
    the_last_lines_are_found_across_files_and_restarts,
}

fn query(it: &Deployment, tail: Option<usize>, follow: bool) -> LogQuery {
    LogQuery { deployment: it.id.clone(), instance: None, tail, follow, container: None }
}

async fn lines(world: &World, it: &Deployment, tail: Option<usize>) -> Vec<LogChunk> {
    let stream = world.platform.logs(query(it, tail, false)).await.expect("there is a log");
    stream.map(|line| line.expect("it can be read")).collect().await
}

fn texts(lines: &[LogChunk]) -> Vec<&str> {
    lines.iter().map(|line| line.line.as_str()).collect()
}

async fn both_outputs_are_kept_with_their_time_and_told_apart() {
    let world = World::new();
    let it = script("echo one; sleep 0.05; echo two >&2; sleep 0.05; printf 'no end \\377'");
    world.start(&it).await;
    world.ended(&it).await;
    let lines = lines(&world, &it, None).await;
    assert_eq!(texts(&lines), ["one", "two", "no end \u{fffd}"]);
    let streams: Vec<_> = lines.iter().map(|line| line.stream).collect();
    assert_eq!(streams, [LogStreamKind::Stdout, LogStreamKind::Stderr, LogStreamKind::Stdout]);
    assert!(lines.is_sorted_by_key(|line| line.at));
}

async fn the_last_lines_are_found_across_files_and_restarts() {
    let world = World::with(LogBounds { file_bytes: 4096, files: 100 }, FetchLimits::default());
    let it = script("n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo line $n; done");
    for _ in 0..2 {
        world.start(&it).await;
        world.ended(&it).await;
    }
    let all = lines(&world, &it, None).await;
    assert_eq!(all.len(), 600);
    for tail in [0, 1, 2, 299, 300, 301, 600, 601] {
        let last = lines(&world, &it, Some(tail)).await;
        assert_eq!(last, all[600_usize.saturating_sub(tail)..], "the last {tail}");
    }
}

async fn a_long_line_is_cut_and_nothing_of_it_is_lost() {
    let world = World::new();
    let it = script("head -c 200000 /dev/zero | tr '\\0' x; echo; echo after");
    world.start(&it).await;
    world.ended(&it).await;
    let lines = lines(&world, &it, None).await;
    let lengths: Vec<usize> = lines.iter().map(|line| line.line.len()).collect();
    assert_eq!(lengths, [65536, 65536, 65536, 200_000 - 3 * 65536, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_every_line_across_files_and_restarts_of_the_server_until_it_is_retired() {
    let mut world = World::with(LogBounds { file_bytes: 64 << 10, files: 1000 }, FetchLimits::default());
    let mut it = deployment(&[FIXTURE, "spam"]);
    it.app.env.insert("LINES".to_owned(), "100000".to_owned());
    world.start(&it).await;
    let mut stream = world.platform.logs(query(&it, None, true)).await.expect("there is a log");
    world.restart();
    let numbers = async {
        for expected in 0..100_000 {
            let line = stream.next().await.expect("it goes on").expect("it can be read").line;
            assert_eq!(line[5..13].parse::<u32>().expect("it is numbered"), expected);
        }
        stream
    };
    let mut stream = tokio::time::timeout(PATIENCE, numbers).await.expect("all come");
    assert!(fs::read_dir(world.folder(&it, 0).join("log")).expect("it is there").count() > 50);
    world.retire(&it).await.expect("it can be stopped");
    let end = tokio::time::timeout(PATIENCE, stream.next()).await.expect("it ends");
    assert!(end.is_none());
    let error = world.platform.logs(query(&it, None, true)).await.err().expect("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

async fn a_log_is_bounded_however_much_is_printed() {
    let world = World::with(LogBounds { file_bytes: 16 << 10, files: 3 }, FetchLimits::default());
    let mut it = deployment(&[FIXTURE, "spam"]);
    it.app.env.insert("LINES".to_owned(), "20000".to_owned());
    world.start(&it).await;
    let dir = world.folder(&it, 0).join("log");
    let last = || {
        fs::read_dir(&dir).is_ok_and(|mut d| {
            d.any(|e| e.is_ok_and(|e| fs::read_to_string(e.path()).is_ok_and(|t| t.contains("line 00019999"))))
        })
    };
    eventually("all is printed", last).await;
    let files: Vec<u64> =
        fs::read_dir(&dir).expect("it is there").flatten().filter_map(|e| Some(e.metadata().ok()?.len())).collect();
    assert!(files.len() <= 3 && files.iter().all(|size| *size <= 128 << 10), "{files:?}");
}

async fn lines_of_all_instances_come_in_order() {
    let world = World::new();
    let mut it = script("n=0; while [ $n -lt 50 ]; do n=$((n+1)); echo $SKIPPER_INSTANCE-$n; sleep 0.001; done");
    it.app.replicas = 3;
    world.launch(&it, 3).await.expect("it can be launched");
    let until = std::time::Instant::now() + PATIENCE;
    while lines(&world, &it, None).await.len() < 150 {
        assert!(std::time::Instant::now() < until, "all lines come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let lines = lines(&world, &it, None).await;
    assert!(lines.is_sorted_by_key(|line| line.at));
    for index in 0..3 {
        let own: Vec<_> = lines.iter().filter(|line| line.instance == index).map(|line| line.line.clone()).collect();
        assert_eq!(own, (1..=50).map(|n| format!("{index}-{n}")).collect::<Vec<_>>());
    }
}

/// A small file system of its own, where the host lets us mount one.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &std::path::Path) -> Option<Self> {
        fs::create_dir_all(at).ok()?;
        let done = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).status();
        done.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_stops_neither_the_process_nor_the_record_of_its_end() {
    let world = World::with(LogBounds { file_bytes: 64 << 20, files: 2 }, FetchLimits::default());
    let root = world.dir.path().join("local/here");
    let Some(_disk) = SmallDisk::mount(&root) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    let mut it = deployment(&[FIXTURE, "spam"]);
    it.app.env.insert("LINES".to_owned(), "60000".to_owned());
    world.start(&it).await;
    let filler = root.join("filler");
    let _ = fs::write(&filler, vec![0; 2 << 20]);
    let pid = world.app_pid(&it);
    let parked = || fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|w| w.contains("futex"));
    eventually("it has printed all of it", parked).await;
    let error = world.launch(&script("exec sleep 1"), 1).await.expect_err("there is no room");
    assert_eq!(error.code(), "disk-full", "{}", error.chain());
    kill(pid, "TERM");
    assert_eq!(world.ended(&it).await.signal, Some(15));
    fs::remove_file(filler).expect("it is ours");
    world.retire(&it).await.expect("it can be removed");
    assert!(processes_of(&it).is_empty());
}
