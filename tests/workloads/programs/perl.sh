#!/bin/bash
# perl: processes, pipes, signals, sockets, threads and files.
. "${0%/*}/common.sh"

cat >main.pl <<'END'
use strict;
use warnings;
use threads;
use threads::shared;
use Digest::SHA qw(sha256_hex);
use Fcntl qw(:flock :seek);
use File::Find;
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempfile);
use IO::Select;
use IO::Socket::INET;
use IPC::Open3;
use IPC::SysV qw(IPC_PRIVATE IPC_RMID S_IRUSR S_IWUSR);
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(alarm sleep);

sub check { my ($right, $what) = @_; die "$what: $!" unless $right }

sub processes {
    pipe(my $reader, my $writer) or die;
    my $child = fork;
    if (!$child) { close $reader; print $writer "from the child\n"; close $writer; POSIX::_exit(7) }
    close $writer;
    check(<$reader> eq "from the child\n", 'pipe');
    waitpid $child, 0;
    check($? >> 8 == 7, 'status');
    check(`echo text` eq "text\n", 'backticks');
    check(system('true && exit 3') >> 8 == 3, 'system');
    my $sorter = open3(my $in, my $out, undef, 'sort', '-r');
    print $in "$_\n" for 1 .. 5;
    close $in;
    check(join('', <$out>) eq "5\n4\n3\n2\n1\n", 'open3');
    waitpid $sorter, 0;
    my $sleeper = fork;
    if (!$sleeper) { exec 'sleep', '10' }
    sleep 0.05;
    kill 'TERM', $sleeper;
    my $ended = 0;
    while ($ended == 0) { sleep 0.05; $ended = waitpid $sleeper, WNOHANG }
    check($ended == $sleeper, 'killed');
}

sub signals {
    my $caught = 0;
    local $SIG{ALRM} = sub { $caught++ };
    local $SIG{USR1} = sub { $caught++ };
    alarm 0.05;
    select undef, undef, undef, 0.2;
    kill 'USR1', $$;
    check($caught == 2, 'signals');
    eval { local $SIG{ALRM} = sub { die "late\n" }; alarm 0.05; my $sum = 0; $sum += $_ for 1 .. 20_000_000; };
    check($@ eq "late\n", 'alarm');
}

sub sockets {
    my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die;
    my $port = $server->sockport;
    my $child = fork;
    if (!$child) {
        for (1 .. 20) {
            my $client = IO::Socket::INET->new(PeerAddr => 'localhost', PeerPort => $port) or POSIX::_exit(1);
            print $client "hello $_\n";
            POSIX::_exit(2) unless <$client> eq "HELLO $_\n";
        }
        POSIX::_exit(0);
    }
    for (1 .. 20) {
        check(IO::Select->new($server)->can_read(60), 'select');
        my $peer = $server->accept;
        print $peer uc <$peer>;
        close $peer;
    }
    waitpid $child, 0;
    check($? == 0, 'client');
}

sub workers {
    my $total : shared = 0;
    my @workers = map {
        threads->create(sub { for my $number (1 .. 2000) { lock $total; $total += $number } return 1 })
    } 1 .. 3;
    $_->join for @workers;
    # Somebody waits for a lock, which the threads may not have had to.
    { lock $total; cond_timedwait($total, Time::HiRes::time() + 0.05) }
    check($total == 3 * 2001000, 'threads');
}

sub files {
    make_path('tree/deep');
    for my $number (1 .. 100) { open my $file, '>', "tree/deep/$number" or die; print $file sha256_hex($number) }
    my $count = 0;
    find(sub { $count++ if -f }, 'tree');
    check($count == 100, 'find');
    symlink 'deep/1', 'tree/link';
    rename 'tree/deep/2', 'tree/renamed';
    utime 1, 2, 'tree/renamed';
    chmod 0600, 'tree/renamed';
    remove_tree('tree');
    my ($file, $name) = tempfile(UNLINK => 1);
    flock $file, LOCK_EX;
    print $file 'x' x 100_000;
    seek $file, 0, SEEK_SET;
    truncate $file, 10;
    check(-s $name == 10, 'truncate');
    opendir my $directory, '/etc' or die;
    check(scalar(readdir $directory), 'readdir');
    my $segment = shmget IPC_PRIVATE, 4096, S_IRUSR | S_IWUSR;
    shmwrite $segment, 'shared', 0, 6;
    shmread $segment, my $read, 0, 6;
    check($read eq 'shared', 'shm');
    shmctl $segment, IPC_RMID, 0;
    my %words = map { $_ => 'text' x 10 } 1 .. 100_000;
    check(grep({ /99$/ } keys %words) == 1000, 'match');
}

$| = 1;
processes();
signals();
sockets();
workers();
files();
END
perl main.pl
finish perl 50
