; A frame of a level: by the hero's state, then all that goes on around him.

.include "memory.inc"

FALL_FRAMES   = 50  ; from the fall out of the screen to the loss of the life
SLIDE_SPEED   = 2
POLE_FOOT     = 160 ; his y at the foot of the pole
POLE_TOUCH    = 7   ; pixels left of the pole at which he reaches it
POLE_PAUSE    = 20
DOOR          = 6   ; columns from the pole to the door of his home
WALK_SPEED    = $18
END_PAUSE     = 60
DEATH_GRAVITY = $40

.segment "CODE"

play_frame:
  lda player_state
  cmp #STATE_DIE + 1
  bcs :+
  asl
  tax
  lda states + 1, x
  pha
  lda states, x
  pha
: rts

; A life or a level begins: it is shown, and then played.
enter:
  dec state_timer
  bne :+
  lda #STATE_PLAY
  sta player_state
: jmp go_on

play:
  lda obj_y_page
  cmp #2
  bcs fallen
  jsr control_player
  jsr player_collisions
  jsr touch_coins
  jsr touch_pole
  jsr tick_clock
  jmp go_on

; Out of the screen; state_timer is 0 at first.
fallen:
  lda state_timer
  bne :+
  lda #FALL_FRAMES
  sta state_timer
: dec state_timer
  bne go_on
lose:
  lda #STATE_LOSE
  sta player_state
  jmp show

; What goes on around him, and the picture of it.
go_on:
  jsr count_timers
  jsr move_camera
  jsr stream_columns
  jsr spawn_entities
  jsr update_creatures
  jsr update_special
  jsr update_blocks
show:
  lda obj_x
  sec
  sbc edge
  sta player_x_on_screen
  lda obj_y
  sta player_y_on_screen
  jsr draw_player
  jsr draw_blocks
  jsr draw_creatures
  jsr draw_special
  jmp show_status

; The timers that count in units of INTERVAL frames.
count_timers:
  dec interval
  bne @done
  lda #INTERVAL
  sta interval
  lda hurt_timer
  beq @done
  dec hurt_timer
@done:
  rts

; He holds on to the pole once he is near enough.
touch_pole:
  lda pole_column
  lsr
  lsr
  lsr
  lsr
  sta t1
  lda pole_column
  asl
  asl
  asl
  asl
  sec
  sbc #POLE_TOUCH
  sta t0
  bcs :+
  dec t1
: lda obj_x
  cmp t0
  lda obj_x_page
  sbc t1
  bcc @done
  lda t0
  sta obj_x
  lda t1
  sta obj_x_page
  lda #STATE_SLIDE
  sta player_state
  lda #AIR_POLE
  sta obj_air
  lda #POLE_PAUSE
  sta state_timer
  lda #RIGHT
  sta facing
  lda #0
  sta obj_x_speed
  sta x_speed_frac
  sta obj_x_sub
  sta obj_y_speed
  sta obj_y_frac
  lda obj_y_page ; the higher, the better: 5000, 2000, 800, 400, 100
  beq :+
  lda obj_y
: ldy #0
: cmp pole_heights, y
  bcc :+
  iny
  bne :- ; always, the last height is above all
: lda pole_scores, y
  ldx pole_digits, y
  jmp add_score
@done:
  rts

; Down the pole, with the flag.
slide:
  lda #0
  sta obj_y_speed
  ldx #POLE_FOOT
  lda obj_y_page
  beq @down
  cpx obj_y
  bcc @foot
  beq @foot
@down:
  lda obj_y
  clc
  adc #SLIDE_SPEED
  sta obj_y
  bcc :+
  inc obj_y_page
: lda #SLIDE_SPEED
  sta obj_y_speed
  jmp go_on
@foot:
  stx obj_y
  lda state_timer
  beq :+
  dec state_timer
  jmp go_on
: lda #STATE_END
  sta player_state
  lda #END_PAUSE
  sta state_timer
  lda #AIR_FALL
  sta obj_air
  jmp go_on

; Home; then the time left is counted into the score, and the next level comes.
walk_home:
  jsr at_door
  bcs @there
  lda #WALK_SPEED
  sta obj_x_speed
  lda #RIGHT
  sta obj_dir
  jsr player_collisions
  jmp go_on
@there:
  lda #0
  sta obj_x_speed
  jsr drain_clock
  bcs @wait
  dec state_timer
  bne @wait
  jsr next_level
  lda #0
  sta task
  bcc @wait
  lda #1
  sta game_won
  lda #MODE_OVER
  sta mode
@wait:
  jmp go_on

; Carry is set once he is in the door.
at_door:
  lda pole_column
  clc
  adc #DOOR
  tay
  asl
  asl
  asl
  asl
  sta t0
  tya
  lsr
  lsr
  lsr
  lsr
  sta t1
  lda obj_x
  cmp t0
  lda obj_x_page
  sbc t1
  rts

; He grows, or shrinks: the world stands still meanwhile.
change:
  dec state_timer
  bne :+
  lda #STATE_PLAY
  sta player_state
: jmp show

; Killed: he stands still, then leaps, and falls out of the screen.
die:
  lda state_timer
  beq @leap
  dec state_timer
  jmp show
@leap:
  lda obj_y_page
  cmp #2
  bcs @out
  ldx #0
  lda #DEATH_GRAVITY
  ldy #4
  jsr fall
  jsr move_y
  jmp show
@out:
  jmp lose

; Takes the life: the level starts again, or the game is over.
lose_life:
  lda #0
  sta task
  sta power
  dec lives
  bpl :+
  lda #MODE_OVER
  sta mode
: rts

.segment "RODATA"

states:
  .addr play - 1, play - 1, play - 1, play - 1, slide - 1, walk_home - 1, lose_life - 1, enter - 1
  .addr play - 1, change - 1, change - 1, die - 1

; From these heights downwards, on the screen: the points, and which digit of the score they are.
pole_heights: .byte 48, 80, 112, 144, 255
pole_scores:  .byte 5, 2, 8, 4, 1
pole_digits:  .byte 3, 3, 4, 4, 4
